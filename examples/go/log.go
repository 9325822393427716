package edictum

// #include "native.h"
import "C"

import "runtime/cgo"

// SetLog is where the library's own log goes, line by line, for the whole process; else nowhere. level is error, warn, info,
// debug or trace. The function is called while calls are decided, by any number of goroutines. It can be set once
// ([ErrConflict]).
func SetLog(level string, line func(line string)) error {
	if line == nil {
		return badRequest("the function is missing")
	}
	answer := atOnce(func(outcome *C.edictum_go_outcome) {
		level, length := text(level)
		C.edictum_go_log(level, length, C.edictum_go_id(cgo.NewHandle(func(text string) {
			// What is said about the library changes nothing about it.
			defer func() { _ = recover() }()
			line(text)
		})), outcome)
	})
	return answer.err()
}
