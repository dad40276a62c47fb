package server

import (
	"bytes"
	"fmt"
	"time"
)

// With many consumers a message is the only one of its consumer: waking a goroutine to deliver it and another one to take its acknowledgement costs
// more than doing so. Where nothing speaks against it, who signals the message delivers it, and who reads the acknowledgement takes it.

// Whether it is so plain that what is signaled can be delivered as it is. Lock should be held.
func (o *consumer) isPlain() bool {
	c := &o.cfg
	isPaused := c.PauseUntil != nil && !c.PauseUntil.IsZero() && time.Now().Before(*c.PauseUntil)
	return !o.closed && o.node == nil && o.isPullMode() && o.retention == LimitsPolicy && c.AckPolicy == AckExplicit && c.PriorityPolicy == PriorityNone &&
		!c.HeadersOnly && !isPaused && !o.replay && o.rlimit == nil
}

// Delivers the message that was just stored, the consumer's next, where somebody waits for it. False: as usual. Lock should be held.
func (o *consumer) deliverSignaled(seq uint64) bool {
	if !o.isPlain() || o.waiting.isEmpty() || o.hasRedeliveries() || o.hasSkipListPending() || o.maxp > 0 && len(o.pending) >= o.maxp {
		return false
	}
	pmsg := getJSPubMsgFromPool()
	sm, err := o.mset.store.LoadMsg(seq, &pmsg.StoreMsg)
	if sm == nil || err != nil {
		pmsg.returnToPool()
		return false
	}
	o.npc--
	ackReply := o.ackReply(seq, o.dseq, 1, pmsg.ts, o.numPending())
	wr := o.nextWaiting(len(pmsg.subj) + len(ackReply) + len(pmsg.hdr) + len(pmsg.msg))
	if wr == nil {
		o.npc++
		pmsg.returnToPool()
		return false
	}
	n, b, reply := wr.n, wr.b, wr.reply
	if !wr.recycleIfDone() && wr.hb > 0 {
		wr.hbt = time.Now().Add(wr.hb)
	}
	o.sseq = seq + 1
	o.eofSeq = o.sseq
	o.deliverMsg(reply, ackReply, pmsg, 1, LimitsPolicy)
	if n <= 0 && b > 0 {
		msg := fmt.Appendf(nil, JsPullRequestRemainingBytesT, JSPullRequestPendingMsgs, n, JSPullRequestPendingBytes, b)
		o.outq.send(newJSPubMsg(reply, _EMPTY_, _EMPTY_, msg, nil, nil, 0))
	}
	return true
}

// Takes a plain acknowledgement where it comes in. False: it is to be queued.
func (o *consumer) ackAtOnce(subject, reply string, hdr int, msg []byte) bool {
	if reply != _EMPTY_ || hdr > 0 || len(msg) > 0 && !bytes.Equal(msg, AckAck) || o.ackMsgs.len() > 0 || !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	if !o.isPlain() || o.cfg.InactiveThreshold > 0 || len(o.pending) > 64 {
		return false
	}
	sseq, dseq, dc, _, _ := ackReplyInfo(subject)
	if sseq == 0 {
		return false
	}
	o.processAckMsgLocked(sseq, dseq, dc, _EMPTY_, true, false)
	return true
}

// The first of pending behind seq and before end: looks through the sequences or the map, whichever is less. Those of one consumer of many lie far apart.
func nextPending(pending map[uint64]*Pending, seq, end uint64) (uint64, *Pending) {
	if end > seq && end-seq <= uint64(len(pending)) {
		for ss := seq + 1; ss < end; ss++ {
			if p, ok := pending[ss]; ok {
				return ss, p
			}
		}
		return 0, nil
	}
	var first uint64
	for ss := range pending {
		if ss > seq && ss < end && (first == 0 || ss < first) {
			first = ss
		}
	}
	return first, pending[first]
}
