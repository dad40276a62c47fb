package server

import (
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// The heap of a server with thousands of consumers is large and mostly at rest, and each collection looks through all of it. What the collector may
// let it grow to follows their number, for it changes while the server runs:
//
//	NEXUS_NATS_MEMORY=BASE,EACH   the memory limit is BASE bytes and EACH for every consumer, but never less than GOMEMLIMIT
//	NEXUS_NATS_GOGC=MOST          from GOGC with no consumer to MOST with a thousand
//
// Without them nothing is changed.
type memoryByConsumers struct {
	mu         sync.Mutex
	base, each int64
	limit      int64 // GOMEMLIMIT
	most       int
	gogc       int // GOGC
	restoring  int // Streams whose consumers are being restored.
	percent    int // For the collector, when they are.
}

const (
	memoryStep      = 64 // Consumers that come or go between two changes.
	memoryConsumers = 1000
)

var (
	consumersHeld   atomic.Int64
	memoryBy        memoryByConsumers
	memoryByReading sync.Once
)

func (m *memoryByConsumers) read() {
	base, each, _ := strings.Cut(os.Getenv("NEXUS_NATS_MEMORY"), ",")
	m.base, _ = strconv.ParseInt(base, 10, 64)
	m.each, _ = strconv.ParseInt(each, 10, 64)
	m.limit = debug.SetMemoryLimit(-1)
	m.most, _ = strconv.Atoi(os.Getenv("NEXUS_NATS_GOGC"))
	m.gogc, _ = strconv.Atoi(os.Getenv("GOGC"))
}

// Told of every consumer that comes (1) or goes (-1).
func noteConsumers(by int64) {
	n := consumersHeld.Add(by)
	if n%memoryStep != 0 {
		return
	}
	m := &memoryBy
	memoryByReading.Do(m.read)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.base > 0 && m.each > 0 {
		debug.SetMemoryLimit(max(m.limit, m.base+m.each*n))
	}
	if m.most > m.gogc && m.gogc > 0 {
		m.percent = m.gogc + (m.most-m.gogc)*int(min(n, memoryConsumers))/memoryConsumers
		if m.restoring == 0 {
			debug.SetGCPercent(m.percent)
		}
	}
}

// While consumers are restored nearly everything that is made stays, so the collector looks through a growing heap again and again for little: a third of the
// time. Until the function that is returned is called only a memory limit makes it run; without one it goes on as it was.
func restoreUncollected() func() {
	m := &memoryBy
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		return func() {}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.restoring++; m.restoring == 1 {
		m.percent = debug.SetGCPercent(-1)
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.restoring--; m.restoring == 0 {
			debug.SetGCPercent(m.percent)
		}
	}
}

// Where a line or a small message that came in two pieces is put together: made when the first one does. Each consumer has two clients of its own, which read
// nothing, and this was most of them: half of what a consumer takes.
func (p *parseState) splitBuf() []byte {
	if p.scratch == nil {
		p.scratch = make([]byte, MAX_CONTROL_LINE_SIZE)
	}
	return p.scratch[:0]
}
