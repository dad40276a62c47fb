package server

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// The states of all file consumers of a stream, one behind the other in one file: with a file for each that is made anew and renamed, thousands
// of consumers cost more than the messages that they deliver. A record is its length and CRC-32C, the consumer's name and its encoded state; the
// last one of a name counts, an empty one says that the consumer was made anew. What a crash left of a record ends the file.
//
// A consumer's own file still holds its state: it is written when the consumer stops, is reset, or has not been for a minute (a few at a time), so
// a server that does not know this file finds every consumer where it was then.
type consumerStates struct {
	fs    *fileStore
	quit  chan struct{}
	kick  chan struct{}
	ended chan struct{}

	mu    sync.Mutex // Behind a consumer's lock.
	dirty []*consumerFileStore
	spare []*consumerFileStore

	fmu     sync.Mutex // Before a consumer's lock.
	file    *os.File
	size    int64
	settled int64             // Size after the file was last made anew.
	found   map[string][]byte // States that were found at the start and not asked for yet.
}

const (
	statesFile     = "obs.nexus"
	statesInterval = 100 * time.Millisecond
	statesRoom     = 1 << 20     // To grow by, beyond twice what is needed, before it is made anew.
	statesOwnEvery = time.Minute // How old a consumer's own file may become,
	statesOwnMost  = 8           // and how many of them are written in one interval.
	statesHead     = 8
	statesPart     = 64 // Consumers between two pauses for others.
)

var statesTable = crc32.MakeTable(crc32.Castagnoli)

func appendState(to []byte, name string, state []byte) []byte {
	at := len(to)
	to = append(to, make([]byte, statesHead)...)
	to = binary.AppendUvarint(to, uint64(len(name)))
	to = append(to, name...)
	to = append(to, state...)
	body := to[at+statesHead:]
	binary.LittleEndian.PutUint32(to[at:], uint32(len(body)))
	binary.LittleEndian.PutUint32(to[at+4:], crc32.Checksum(body, statesTable))
	return to
}

// The last state of each name, and how many bytes were sound.
func readStates(buf []byte) (map[string][]byte, int) {
	found, at := make(map[string][]byte), 0
	for len(buf)-at >= statesHead {
		n, sum := int(binary.LittleEndian.Uint32(buf[at:])), binary.LittleEndian.Uint32(buf[at+4:])
		if n > len(buf)-at-statesHead {
			break
		}
		body := buf[at+statesHead : at+statesHead+n]
		size, w := binary.Uvarint(body)
		if w <= 0 || size > uint64(len(body)-w) || crc32.Checksum(body, statesTable) != sum {
			break
		}
		name, state := string(body[w:w+int(size)]), body[w+int(size):]
		if len(state) > 0 {
			found[name] = bytes.Clone(state)
		} else {
			delete(found, name)
		}
		at += statesHead + n
	}
	return found, at
}

// The states of the stream's consumers; nil where each consumer keeps its own alone: an encrypted store.
func (fs *fileStore) consumerStates() *consumerStates {
	if fs.prf != nil {
		return nil
	}
	fs.cmu.Lock()
	defer fs.cmu.Unlock()
	if fs.states == nil && !fs.isClosed() {
		fs.states = openStates(fs)
	}
	return fs.states
}

func openStates(fs *fileStore) *consumerStates {
	s := &consumerStates{fs: fs, quit: make(chan struct{}), kick: make(chan struct{}, 1), ended: make(chan struct{})}
	f, err := os.OpenFile(filepath.Join(fs.fcfg.StoreDir, statesFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, defaultFilePerms)
	if err != nil {
		return nil
	}
	buf, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil
	}
	var sound int
	s.found, sound = readStates(buf)
	if sound < len(buf) && f.Truncate(int64(sound)) != nil {
		f.Close()
		return nil
	}
	s.file, s.size = f, int64(sound)
	go s.loop()
	return s
}

// What was found of a consumer, once.
func (s *consumerStates) take(name string) []byte {
	if s == nil {
		return nil
	}
	s.fmu.Lock()
	defer s.fmu.Unlock()
	state := s.found[name]
	delete(s.found, name)
	return state
}

// The consumer is new: whatever there is of one with its name is not its.
func (s *consumerStates) forget(name string) {
	if s == nil {
		return
	}
	s.take(name)
	s.put(name, nil)
}

// Consumer's lock should be held.
func (s *consumerStates) note(o *consumerFileStore) {
	if o.noted {
		return
	}
	o.noted = true
	s.mu.Lock()
	s.dirty = append(s.dirty, o)
	s.mu.Unlock()
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

func (s *consumerStates) put(name string, state []byte) {
	if s == nil {
		return
	}
	s.fmu.Lock()
	defer s.fmu.Unlock()
	s.write(appendState(nil, name, state))
}

func (s *consumerStates) mustSync() bool {
	return s.fs.syncAlways.Load() || s.fs.syncOnFlush.Load()
}

// Lock fmu should be held.
func (s *consumerStates) write(buf []byte) error {
	if s.file == nil || len(buf) == 0 {
		return nil
	}
	s.fs.dios.acquire()
	n, err := s.file.Write(buf)
	if err == nil && s.mustSync() {
		err = s.file.Sync()
	}
	s.fs.dios.release()
	if err != nil && n > 0 {
		s.file.Truncate(s.size) // Half a record would hide what comes behind it.
		return err
	}
	s.size += int64(n)
	return err
}

// Makes the file anew, of what counts. Lock fmu should be held.
func (s *consumerStates) settle() {
	if s.file == nil || s.size < statesRoom+2*s.settled {
		return
	}
	s.fs.cmu.RLock()
	all := append([]ConsumerStore(nil), s.fs.cfs...)
	s.fs.cmu.RUnlock()
	var buf []byte
	for name, state := range s.found {
		buf = appendState(buf, name, state)
	}
	for i, c := range all {
		if i%statesPart == statesPart-1 {
			runtime.Gosched() // With one processor all messages wait meanwhile.
		}
		if o, ok := c.(*consumerFileStore); ok {
			o.mu.Lock()
			buf = appendState(buf, o.name, encodeConsumerState(&o.state))
			o.mu.Unlock()
		}
	}
	name := filepath.Join(s.fs.fcfg.StoreDir, statesFile)
	f, err := os.OpenFile(name+".tmp", os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, defaultFilePerms)
	if err != nil {
		return // The old one is whole.
	}
	_, err = f.Write(buf)
	if err == nil && s.mustSync() {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(name+".tmp", name)
	}
	if err != nil {
		f.Close()
		os.Remove(name + ".tmp")
		return
	}
	if s.mustSync() && canFsyncDirectories {
		syncDir(s.fs.fcfg.StoreDir)
	}
	s.file.Close()
	s.file, s.size, s.settled = f, int64(len(buf)), int64(len(buf))
}

func (s *consumerStates) flush() {
	s.mu.Lock()
	dirty := s.dirty
	s.dirty, s.spare = s.spare[:0], nil
	s.mu.Unlock()

	s.fmu.Lock()
	var buf []byte
	var old []*consumerFileStore
	now := time.Now()
	for i, o := range dirty {
		if i%statesPart == statesPart-1 {
			runtime.Gosched()
		}
		o.mu.Lock()
		o.noted = false
		if !o.closed {
			buf = appendState(buf, o.name, encodeConsumerState(&o.state))
			if len(old) < statesOwnMost && now.Sub(o.owned) > statesOwnEvery {
				old, o.owned = append(old, o), now
			}
		}
		o.mu.Unlock()
	}
	err := s.write(buf)
	if err == nil {
		s.settle()
	}
	s.fmu.Unlock()
	for _, o := range dirty {
		if err != nil { // The disk is full, maybe: once more.
			o.mu.Lock()
			s.note(o)
			o.mu.Unlock()
		}
	}
	for _, o := range old {
		o.setInFlusher()
		o.mu.Lock()
		own, err := o.encodeState()
		o.mu.Unlock()
		if err == nil {
			o.writeOwnState(own)
		}
		o.mu.Lock()
		o.dirty = o.dirty || o.noted
		o.mu.Unlock()
		o.clearInFlusher()
	}
	clear(dirty)
	s.mu.Lock()
	s.spare = dirty[:0]
	s.mu.Unlock()
}

// What is the first for a while is written at once: after a crash a message that was delivered shall be known to have been. Then a message is
// delivered and acknowledged before the next look, and many others are.
func (s *consumerStates) loop() {
	defer close(s.ended)
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-s.quit:
			return
		}
		select {
		case <-s.kick:
		case <-s.quit:
			return
		}
		s.flush()
		pause.Reset(statesInterval)
	}
}

// After the stream's consumers have stopped, or with them.
func (s *consumerStates) stop() {
	if s == nil {
		return
	}
	close(s.quit)
	<-s.ended
	s.fmu.Lock()
	defer s.fmu.Unlock()
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// Of two states of a consumer the later one. A server that does not know the stream's file may have gone on with the consumer's own.
func laterState(own, shared *ConsumerState) *ConsumerState {
	if shared.Delivered.Consumer > own.Delivered.Consumer ||
		shared.Delivered.Consumer == own.Delivered.Consumer && shared.AckFloor.Consumer >= own.AckFloor.Consumer {
		return shared
	}
	return own
}

// The consumer's state as the stream's file has it. Called at the start.
func (o *consumerFileStore) sharedState() *ConsumerState {
	buf := o.states.take(o.name)
	if len(buf) == 0 {
		return nil
	}
	state, err := decodeConsumerState(buf)
	if err != nil {
		return nil
	}
	return state
}

// Where both files have to say so at once, as after a reset, which may lead back.
func (o *consumerFileStore) writeState(buf []byte) error {
	err := o.writeOwnState(buf)
	if err == nil {
		o.states.put(o.name, buf)
	}
	return err
}
