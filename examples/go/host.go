package edictum

// #include "native.h"
import "C"

import (
	"context"
	"encoding/json"
	"runtime"
	"sync"
	"time"
)

// Host runs the engine: its instances, its threads, the clock. A process needs one, and has one: [DefaultHost]. All
// methods may be called at the same time.
type Host struct {
	pointer *C.edictum_host
}

// HostOptions is what a host may use. Zero means the default.
type HostOptions struct {
	// Deciders is how many calls are decided at the same time; default: the number of cores.
	Deciders int
	// MemoryBytes is for each of them; default 256 MiB.
	MemoryBytes int64
	// StepDeadline is for one step of a call inside the engine; default 10 s.
	StepDeadline time.Duration
	// CallbackDeadline is for an answer of the program; default 30 s.
	CallbackDeadline time.Duration
}

// NewHost starts a host of its own. The first start on a machine compiles the engine, a second or two. It ends when nothing
// refers to it any more.
func NewHost(options HostOptions) (*Host, error) {
	if version := uint32(C.edictum_abi_version()); version != C.EDICTUM_ABI_VERSION {
		return nil, &Error{Code: "unsupported", Message: "libedictum has another version than this package"}
	}
	fields := map[string]int64{}
	for name, value := range map[string]int64{
		"deciders":             int64(options.Deciders),
		"memory_bytes":         options.MemoryBytes,
		"step_deadline_ms":     options.StepDeadline.Milliseconds(),
		"callback_deadline_ms": options.CallbackDeadline.Milliseconds(),
	} {
		if value < 0 {
			return nil, badRequest("`%s` must not be negative", name)
		}
		if value > 0 {
			fields[name] = value
		}
	}
	document, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	host := &Host{}
	answer := atOnce(func(outcome *C.edictum_go_outcome) {
		bytes, length := raw(document)
		C.edictum_go_host_new(bytes, length, &host.pointer, outcome)
	})
	if err := answer.err(); err != nil {
		return nil, err
	}
	runtime.AddCleanup(host, func(pointer *C.edictum_host) { C.edictum_host_free(pointer) }, host.pointer)
	return host, nil
}

// DefaultHost is the host of guards that name none, started when it is first needed.
var DefaultHost = sync.OnceValues(func() (*Host, error) { return NewHost(HostOptions{}) })

// Version is the version of libedictum.
func Version() string {
	return stringOf(C.edictum_version())
}

// Request carries out an operation of the driver protocol that is about no guard (check, templates, …) with these fields, a
// JSON object, and gives its result.
func (h *Host) Request(ctx context.Context, op string, fields json.RawMessage) (json.RawMessage, error) {
	operation := start(func(id C.edictum_go_id, outcome *C.edictum_go_outcome) {
		op, opLength := text(op)
		fields, fieldsLength := raw(fields)
		C.edictum_go_host_request(h.pointer, op, opLength, fields, fieldsLength, id, outcome)
	})
	answer, err := operation.wait(ctx)
	runtime.KeepAlive(h)
	return answer.text, err
}

// Ruleset is a ruleset as it was written.
type Ruleset struct {
	// Name is what diagnostics call it: a path or a name.
	Name string `json:"name"`
	// YAML is its text.
	YAML string `json:"yaml"`
	// Signature is Ed25519 over exactly the text's bytes, base64 or hex; looked at with [WithSigningKeys].
	Signature string `json:"signature,omitempty"`
}

// Check gives all findings about rulesets, which are laid over one another; none when they load without a remark.
func (h *Host) Check(ctx context.Context, rulesets ...Ruleset) ([]Diagnostic, error) {
	fields, err := json.Marshal(map[string]any{"rulesets": rulesets})
	if err != nil {
		return nil, err
	}
	result, err := h.Request(ctx, "check", fields)
	if err != nil {
		return nil, err
	}
	var checked struct {
		Diagnostics []Diagnostic `json:"diagnostics"`
	}
	err = json.Unmarshal(result, &checked)
	return checked.Diagnostics, err
}

// Templates gives the rulesets that come with the engine.
func (h *Host) Templates(ctx context.Context) ([]Ruleset, error) {
	result, err := h.Request(ctx, "templates", nil)
	if err != nil {
		return nil, err
	}
	var found struct {
		Templates []Ruleset `json:"templates"`
	}
	err = json.Unmarshal(result, &found)
	return found.Templates, err
}

// Verify says which of these keys (64 hex digits each) signed this text. signature is base64 or hex. [ErrUnauthorized]: none
// of them did.
func (h *Host) Verify(yaml []byte, signature string, keys ...string) (string, error) {
	trusted, err := json.Marshal(keys)
	if err != nil {
		return "", err
	}
	answer := atOnce(func(outcome *C.edictum_go_outcome) {
		yaml, yamlLength := text(string(yaml))
		signature, signatureLength := text(signature)
		trusted, trustedLength := raw(trusted)
		C.edictum_go_verify(h.pointer, yaml, yamlLength, signature, signatureLength, trusted, trustedLength, outcome)
	})
	runtime.KeepAlive(h)
	if err := answer.err(); err != nil {
		return "", err
	}
	var verified struct {
		Key string `json:"key"`
	}
	err = json.Unmarshal(answer.text, &verified)
	return verified.Key, err
}

// SetTime lets all guards of this host see this time from now on, and waits until what is due then is done: for tests.
func (h *Host) SetTime(now time.Time) error {
	answer := atOnce(func(outcome *C.edictum_go_outcome) {
		C.edictum_host_set_time(h.pointer, C.uint64_t(now.UnixMilli()), &outcome.answer)
	})
	runtime.KeepAlive(h)
	return answer.err()
}
