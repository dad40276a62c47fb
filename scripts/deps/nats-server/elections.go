package server

import (
	"os"
	"time"
)

// What was heard of a server before its last connection closed is dealt with by then; a connection that was only made anew is there again.
const goneAfter = 100 * time.Millisecond

var electsEarly bool

// NEXUS_NATS_ELECTION: how long a follower waits for a word of its leader before it stands for election itself, at least; at most 2.25 times as long, by
// chance, as with the server's own 4 to 9 seconds. Leaders say a word four times in that time, and at least every second. 500ms to 4s; anything else,
// and nothing, is the server's own. Raft is as safe with any of them, and servers of a cluster may differ: a shorter time finds a dead leader sooner, and
// takes a living one for dead more often, where the network or a busy machine holds its words up.
//
// With any of them a follower does not wait for that time when the connections to its leader's server close: see electWithout.
func init() {
	election, err := time.ParseDuration(os.Getenv("NEXUS_NATS_ELECTION"))
	if err != nil || election < 500*time.Millisecond || election > minElectionTimeoutDefault {
		return
	}
	minElectionTimeout = election
	maxElectionTimeout = election * 9 / 4
	hbInterval = election / 4
	electsEarly = true
}

// The last route to a server has closed: its process died, or was stopped, or a network refused it. Groups that it led stand for election within 0.1 to
// 0.9 s, as after a leader that steps down. Should it live all the same, one of the two leads in the end, as after any election.
func (s *Server) electWithout(remoteID, node string) {
	if !electsEarly {
		return
	}
	time.AfterFunc(goneAfter, func() {
		s.mu.RLock()
		isOver := len(s.routes[remoteID]) > 0 || s.shutdown.Load()
		s.mu.RUnlock()
		if isOver {
			return
		}
		s.rnMu.RLock()
		groups := make([]*raft, 0, len(s.raftNodes))
		for _, group := range s.raftNodes {
			if n, ok := group.(*raft); ok {
				groups = append(groups, n)
			}
		}
		s.rnMu.RUnlock()
		// A thousand groups a second at most.
		spread := time.Duration(0)
		for _, n := range groups {
			n.Lock()
			if n.State() == Follower && n.leader == node && n.catchup == nil && !n.observer {
				n.resetElect(randCampaignTimeout() + spread)
				spread += time.Millisecond
			}
			n.Unlock()
		}
	})
}
