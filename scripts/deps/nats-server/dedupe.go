package server

import (
	"runtime"
	"sync"
)

// dedupePart is how many messages are read at a time: enough that handing them out costs nothing, so few that all processors end at about the same time.
const dedupePart = 16384

// enterMsgIds enters the ids of the messages from first to last into the dedupe table. All processors read, each a part at a time; the ids are entered in
// the order of their messages.
// mset.ddMu lock should be held.
func (mset *stream) enterMsgIds(first, last uint64) {
	if first > last {
		return
	}
	n := (last-first)/dedupePart + 1
	parts := make([][]*ddentry, n)
	next := make(chan uint64, n)
	for i := uint64(0); i < n; i++ {
		next <- i
	}
	close(next)

	var wg sync.WaitGroup
	for w := min(uint64(runtime.GOMAXPROCS(0)), n); w > 0; w-- {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				from := first + i*dedupePart
				parts[i] = readMsgIds(mset.store, from, min(from+dedupePart-1, last))
			}
		}()
	}
	wg.Wait()

	total := 0
	for _, part := range parts {
		total += len(part)
	}
	if total > 0 && mset.ddmap == nil {
		mset.ddmap = make(map[string]*ddentry, total)
	}
	for _, part := range parts {
		for _, dde := range part {
			mset.storeMsgIdLocked(dde)
		}
	}
}

func readMsgIds(store StreamStore, first, last uint64) (part []*ddentry) {
	if fs, ok := store.(*fileStore); ok {
		fs.eachMsgID(first, last, func(id string, seq uint64, ts int64) { part = append(part, &ddentry{id, seq, ts}) })
		return part
	}
	var smv StoreMsg
	for seq := first; seq <= last; seq++ {
		sm, err := store.LoadMsg(seq, &smv)
		if err != nil || len(sm.hdr) == 0 {
			continue
		}
		if msgId := getMsgId(sm.hdr); msgId != _EMPTY_ {
			part = append(part, &ddentry{msgId, sm.seq, sm.ts})
		}
	}
	return part
}
