package edictum

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Error is why something did not take place. It is never a decision: that is a [Decision], or a [BlockedError].
type Error struct {
	// Code is stable: a code of the engine (E_UNKNOWN_FIELD), or one of bad-request, not-found, conflict, unauthorized,
	// unsupported, closed, unavailable, internal.
	Code string `json:"code"`
	// Message is for people.
	Message string `json:"message"`
	// Line is where in the first document that is wrong, from 1; 0 when it is not about one.
	Line int `json:"line"`
	// Column is the same.
	Column int `json:"column"`
	// Help says what to do, where that is known.
	Help string `json:"help"`
	// Diagnostics is all that is wrong with the documents.
	Diagnostics []Diagnostic `json:"diagnostics"`
	// Raw is all of it (JSON), when it comes from the library.
	Raw json.RawMessage `json:"-"`

	refused bool
}

// Diagnostic is something that was found in a document.
type Diagnostic struct {
	// Severity is error, warning or hint.
	Severity string `json:"severity"`
	Code     string `json:"code"`
	Message  string `json:"message"`
	// Document is its name.
	Document  string `json:"document"`
	Line      int    `json:"line"`
	Column    int    `json:"column"`
	EndLine   int    `json:"end_line"`
	EndColumn int    `json:"end_column"`
	Help      string `json:"help"`
}

// What errors of this package are, for [errors.Is].
var (
	// ErrBadRequest: the caller's mistake.
	ErrBadRequest error = &Error{Code: "bad-request", Message: "bad request"}
	// ErrRefused: documents, options or a command that the engine refuses.
	ErrRefused error = &Error{Code: "refused", Message: "refused", refused: true}
	// ErrNotFound: no such open call.
	ErrNotFound error = &Error{Code: "not-found", Message: "not found"}
	// ErrConflict: somebody else was faster, or the call is not in the state that this takes.
	ErrConflict error = &Error{Code: "conflict", Message: "conflict"}
	// ErrUnauthorized: a signature does not verify.
	ErrUnauthorized error = &Error{Code: "unauthorized", Message: "unauthorized"}
	// ErrUnsupported: this guard, or this library, cannot do it.
	ErrUnsupported error = &Error{Code: "unsupported", Message: "unsupported"}
	// ErrClosed: the guard has been closed.
	ErrClosed error = &Error{Code: "closed", Message: "the guard is closed"}
	// ErrUnavailable: the store failed, or a server cannot be reached.
	ErrUnavailable error = &Error{Code: "unavailable", Message: "unavailable"}
	// ErrInternal: a fault of the library.
	ErrInternal error = &Error{Code: "internal", Message: "internal"}
	// ErrBlocked: any [BlockedError].
	ErrBlocked error = &BlockedError{}
)

// Error is code and message, and where.
func (e *Error) Error() string {
	if e.Line > 0 {
		return fmt.Sprintf("edictum: %s: %s (line %d, column %d)", e.Code, e.Message, e.Line, e.Column)
	}
	return fmt.Sprintf("edictum: %s: %s", e.Code, e.Message)
}

// Is tells kinds of errors apart: [ErrClosed] and the others are kinds.
func (e *Error) Is(target error) bool {
	switch target {
	case ErrRefused:
		return e.refused
	case ErrBadRequest, ErrNotFound, ErrConflict, ErrUnauthorized, ErrUnsupported, ErrClosed, ErrUnavailable, ErrInternal:
		return e.Code == target.(*Error).Code
	}
	return false
}

// BlockedError says that a tool did not run, because its call is blocked.
type BlockedError struct {
	// Decision is why.
	Decision *Decision
}

// Error is the reason.
func (e *BlockedError) Error() string {
	if e.Decision == nil {
		return "edictum: blocked"
	}
	return "edictum: blocked: " + e.Decision.Reason
}

// Is makes any of them [ErrBlocked].
func (e *BlockedError) Is(target error) bool {
	return target == ErrBlocked
}

// ToolError says that a tool ran and failed.
type ToolError struct {
	// Conclusion is how its call ended.
	Conclusion *Conclusion
	err        error
}

// Error is what the agent may see of the tool's error.
func (e *ToolError) Error() string {
	var shown string
	if json.Unmarshal(e.Conclusion.Output, &shown) != nil {
		shown = string(e.Conclusion.Output)
	}
	return strings.TrimSpace(shown)
}

// Unwrap is the tool's own error, as it was: it may say more than the agent may see.
func (e *ToolError) Unwrap() error {
	return e.err
}

func badRequest(format string, values ...any) error {
	return &Error{Code: "bad-request", Message: fmt.Sprintf(format, values...)}
}
