package edictum

// #cgo CFLAGS: -I${SRCDIR}/lib
// #cgo LDFLAGS: -L${SRCDIR}/lib -ledictum -Wl,-rpath,${SRCDIR}/lib -Wl,-rpath,$ORIGIN
// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"
)

// answer is an answer of the library, copied.
type answer struct {
	status   uint32
	action   uint32
	flags    uint32
	text     []byte
	callID   string
	reason   string
	name     string
	value    []byte
	warnings []byte
	guard    *C.edictum_guard
}

func copied(from *C.edictum_answer) answer {
	return answer{
		status:   uint32(from.status),
		action:   uint32(from.action),
		flags:    uint32(from.flags),
		text:     bytesOf(from.text),
		callID:   stringOf(from.call_id),
		reason:   stringOf(from.reason),
		name:     stringOf(from.name),
		value:    bytesOf(from.value),
		warnings: bytesOf(from.warnings),
		guard:    from.guard,
	}
}

func bytesOf(text C.edictum_text) []byte {
	if text.bytes == nil {
		return nil
	}
	return append([]byte{}, unsafe.Slice((*byte)(text.bytes), int(text.length))...)
}

func stringOf(text C.edictum_text) string {
	if text.bytes == nil {
		return ""
	}
	return string(unsafe.Slice((*byte)(text.bytes), int(text.length)))
}

// err is the error of an answer, if it is one.
func (a *answer) err() error {
	if a.status == C.EDICTUM_STATUS_OK {
		return nil
	}
	refused := &Error{}
	if err := json.Unmarshal(a.text, refused); err != nil {
		return &Error{Code: "internal", Message: fmt.Sprintf("libedictum answers with status %d", a.status)}
	}
	refused.Raw = a.text
	refused.refused = a.status == C.EDICTUM_STATUS_REFUSED
	return refused
}

// text is what C gets of a Go string: nothing of it is kept.
func text(of string) (*C.char, C.size_t) {
	if of == "" {
		return &empty, 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.StringData(of))), C.size_t(len(of))
}

// optional is the same, and nothing for an empty string.
func optional(of string) (*C.char, C.size_t) {
	if of == "" {
		return nil, 0
	}
	return text(of)
}

func raw(of []byte) (*C.char, C.size_t) {
	if of == nil {
		return nil, 0
	}
	if len(of) == 0 {
		return &empty, 0
	}
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(of))), C.size_t(len(of))
}

var empty C.char

// Room for answers, used again.
var outcomes = sync.Pool{New: func() any { return new(C.edictum_go_outcome) }}

// atOnce does what does not wait.
func atOnce(call func(outcome *C.edictum_go_outcome)) answer {
	outcome := outcomes.Get().(*C.edictum_go_outcome)
	call(outcome)
	return taken(outcome)
}

func taken(outcome *C.edictum_go_outcome) answer {
	answer := copied(&outcome.answer)
	C.edictum_answer_free(&outcome.answer)
	outcomes.Put(outcome)
	return answer
}

// operation is something that was started.
type operation struct {
	// It has ended already.
	answer answer
	ended  bool
	// Otherwise: where its answer comes.
	came    chan answer
	id      uintptr
	pending *C.edictum_pending
}

var (
	lastID  atomic.Uintptr
	waiting sync.Map // of chan answer, by id
)

// channel is where the answer of an operation comes: whoever needs it first makes it.
func channel(id uintptr) chan answer {
	came, _ := waiting.LoadOrStore(id, make(chan answer, 1))
	return came.(chan answer)
}

//export edictumGoTold
func edictumGoTold(id C.uintptr_t, answer *C.edictum_answer) {
	channel(uintptr(id)) <- copied(answer)
}

// start starts something that may wait. Nothing in it waits.
func start(call func(id C.edictum_go_id, outcome *C.edictum_go_outcome)) operation {
	id := lastID.Add(1)
	outcome := outcomes.Get().(*C.edictum_go_outcome)
	outcome.pending = nil
	call(C.edictum_go_id(id), outcome)
	if outcome.answer.status != C.EDICTUM_STATUS_PENDING {
		return operation{answer: taken(outcome), ended: true}
	}
	pending := outcome.pending
	outcomes.Put(outcome)
	return operation{came: channel(id), id: id, pending: pending}
}

// wait waits for its end, or gives it up when the context ends. Once.
func (o *operation) wait(ctx context.Context) (answer, error) {
	if o.ended {
		return o.answer, o.answer.err()
	}
	select {
	case answer := <-o.came:
		o.forget()
		return answer, answer.err()
	case <-ctx.Done():
		if answer, came := o.giveUp(); came {
			return answer, answer.err()
		}
		return answer{}, context.Cause(ctx)
	}
}

// giveUp gives it up; when it has ended meanwhile, that is its end.
func (o *operation) giveUp() (answer, bool) {
	if o.ended {
		return o.answer, true
	}
	if C.edictum_pending_cancel(o.pending) {
		o.forget()
		return answer{}, false
	}
	answer := <-o.came
	o.forget()
	return answer, true
}

func (o *operation) forget() {
	waiting.Delete(o.id)
	C.edictum_pending_free(o.pending)
}
