package server

import (
	"os"
	"time"
)

// NEXUS_NATS_ELECTION: how long a follower waits for a word of its leader before it stands for election itself, at least; at most 2.25 times as long, by
// chance, as with the server's own 4 to 9 seconds. Leaders say a word four times in that time. 500ms to 4s; anything else, and nothing, is the server's
// own. Raft is as safe with any of them, and servers of a cluster may differ: a shorter time finds a dead leader sooner, and takes a living one for dead
// more often, where the network or a busy machine holds its words up.
func init() {
	election, err := time.ParseDuration(os.Getenv("NEXUS_NATS_ELECTION"))
	if err != nil || election < 500*time.Millisecond || election > minElectionTimeoutDefault {
		return
	}
	minElectionTimeout = election
	maxElectionTimeout = election * 9 / 4
	hbInterval = election / 4
}
