package server

import "sync"

// With `sync_interval: always` the messages that a stream takes up in one turn share one sync of their blocks (group commit), instead of one each. What
// they are answered with, and what of them goes to consumers, waits in the stream's outq, which the same goroutine empties after the turn: nothing of it
// leaves before the sync.
type syncGroup struct {
	mu     sync.Mutex
	isOpen bool
	blks   []*msgBlock
}

// takes says whether the block's sync is left to the end of the group. Whoever else writes to the store meanwhile is synced with it.
// The block's lock should be held.
func (g *syncGroup) takes(mb *msgBlock) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.isOpen {
		return false
	}
	if n := len(g.blks); n == 0 || g.blks[n-1] != mb {
		g.blks = append(g.blks, mb)
	}
	return true
}

func (g *syncGroup) open() {
	g.mu.Lock()
	g.isOpen = true
	g.mu.Unlock()
}

// sync ends the group. After an error its blocks take nothing more.
func (g *syncGroup) sync() error {
	g.mu.Lock()
	blks := g.blks
	g.blks, g.isOpen = nil, false
	g.mu.Unlock()
	for _, mb := range blks {
		mb.mu.Lock()
		err := mb.werr
		if err == nil && !mb.closed {
			err = mb.syncFile()
			mb.werr = err
		}
		mb.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// beginGroup: the stream is about to take up n messages. It returns nil where each has to be synced by itself, or none.
func (mset *stream) beginGroup(n int, isClustered bool) *syncGroup {
	if n < 2 || isClustered {
		return nil
	}
	mset.mu.RLock()
	fs, ok := mset.store.(*fileStore)
	mset.mu.RUnlock()
	if !ok || !fs.syncAlways.Load() {
		return nil
	}
	fs.group.open()
	return &fs.group
}

// endGroup: the messages are stored. Should they not be on the disk, nobody is told that they are.
func (mset *stream) endGroup(g *syncGroup, outq *jsOutQ) {
	if g == nil {
		return
	}
	if err := g.sync(); err != nil {
		outq.drain()
		mset.setWriteErr(err)
	}
}
