package server

import (
	"runtime"
	"sync"
)

// restorePart is how many of a stream's consumers are restored at a time: enough that handing them out costs nothing, so few that all processors end at about
// the same time.
const restorePart = 32

// eachPart hands all of v out, a part at a time, and returns when the last one is done. All of the machine's processors take part, whatever GOMAXPROCS
// says of the time after: while a server restores what it has, it has nothing else to do.
func eachPart[T any](v []T, do func(part []T)) {
	if len(v) <= restorePart {
		do(v)
		return
	}
	if was, all := runtime.GOMAXPROCS(0), runtime.NumCPU(); was < all {
		runtime.GOMAXPROCS(all)
		defer runtime.GOMAXPROCS(was)
	}
	defer restoreUncollected()()
	next := make(chan []T, len(v)/restorePart+1)
	for len(v) > 0 {
		n := min(len(v), restorePart)
		next <- v[:n]
		v = v[n:]
	}
	close(next)

	var wg sync.WaitGroup
	for w := min(runtime.GOMAXPROCS(0), len(next)); w > 0; w-- {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for part := range next {
				do(part)
			}
		}()
	}
	wg.Wait()
}
