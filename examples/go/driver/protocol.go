package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"

	edictum "github.com/edictum/edictum-guard-go"
	"github.com/edictum/edictum-guard-go/internal/rawjson"
)

// request is a line: its envelope and its fields, each as the text it was.
type request struct {
	id       json.RawMessage
	op       string
	nowMS    *uint64
	parallel bool
	fields   map[string]json.RawMessage
}

// refused is a request that cannot be carried out, under its id where it has one.
type refused struct {
	id  json.RawMessage
	err error
}

func readRequest(line []byte) (*request, *refused) {
	if !utf8.Valid(line) {
		return nil, &refused{nil, badRequest("the line is not UTF-8")}
	}
	members, err := rawjson.Members(line)
	if err != nil {
		return nil, &refused{nil, badRequest("the line is not a request: %v", err)}
	}
	request := &request{id: json.RawMessage("null"), fields: make(map[string]json.RawMessage, len(members))}
	var twice string
	for _, member := range members {
		if _, there := request.fields[member.Key]; there {
			if member.Key == "id" {
				return nil, &refused{nil, badRequest("the line is not a request: two ids")}
			}
			if known[member.Key] {
				twice = member.Key
			}
		}
		request.fields[member.Key] = member.Value
	}
	if id, ok := request.fields["id"]; ok {
		request.id = id
	}
	if twice != "" {
		return nil, &refused{request.id, badRequest("duplicate field `%s`", twice)}
	}
	op, err := needed[string](request, "op")
	if err != nil {
		return nil, &refused{request.id, err}
	}
	request.op = op
	if request.nowMS, err = optional[uint64](request, "now_ms"); err != nil {
		return nil, &refused{request.id, err}
	}
	parallel, err := optional[bool](request, "parallel")
	if err != nil {
		return nil, &refused{request.id, err}
	}
	request.parallel = parallel != nil && *parallel
	delete(request.fields, "id")
	delete(request.fields, "op")
	delete(request.fields, "now_ms")
	delete(request.fields, "parallel")
	return request, nil
}

// Fields that may not come twice; others are the library's to judge.
var known = map[string]bool{
	"op": true, "now_ms": true, "parallel": true, "guard": true, "call": true, "session_id": true, "call_id": true,
	"parent_session_id": true, "hold": true, "outcome": true, "approver": true, "reason": true, "result": true,
	"success": true, "output": true, "set": true, "do": true, "stage_id": true, "state": true, "yaml": true,
	"signature": true, "rulesets": true, "options": true,
}

// raw is a field as it came.
func (r *request) raw(name string) (json.RawMessage, error) {
	if value, ok := r.fields[name]; ok {
		return value, nil
	}
	return nil, badRequest("missing field `%s`", name)
}

// needed is a field that has to be there.
func needed[T any](r *request, name string) (T, error) {
	value, err := optional[T](r, name)
	if err == nil && value == nil {
		err = badRequest("missing field `%s`", name)
	}
	if err != nil {
		var none T
		return none, err
	}
	return *value, nil
}

// optional is a field that may be missing, or null.
func optional[T any](r *request, name string) (*T, error) {
	text, ok := r.fields[name]
	if !ok || string(text) == "null" {
		return nil, nil
	}
	value := new(T)
	if err := json.Unmarshal(text, value); err != nil {
		// The parser's words may quote the line.
		return nil, badRequest("field `%s` has another type", name)
	}
	return value, nil
}

func badRequest(format string, values ...any) error {
	return &edictum.Error{Code: "bad-request", Message: fmt.Sprintf(format, values...)}
}

// writer writes whole lines, from any goroutine.
type writer struct {
	lock sync.Mutex
	to   io.Writer
	err  error
}

func (w *writer) answer(id, result json.RawMessage) {
	line := make([]byte, 0, len(result)+64)
	line = append(line, `{"id":`...)
	line = append(line, id...)
	line = append(line, `,"ok":true,"result":`...)
	line = append(line, result...)
	w.line(append(line, "}\n"...))
}

func (w *writer) refuse(id json.RawMessage, err error) {
	var refusal *edictum.Error
	if !errors.As(err, &refusal) {
		refusal = &edictum.Error{Code: "internal", Message: err.Error()}
	}
	if id == nil {
		id = json.RawMessage("null")
	}
	document := refusal.Raw
	if document == nil {
		var fields object
		fields.add("code", quoted(refusal.Code))
		fields.add("message", quoted(refusal.Message))
		document = fields.text()
	}
	line := append([]byte(`{"id":`), id...)
	line = append(line, `,"ok":false,"error":`...)
	line = append(line, document...)
	w.line(append(line, "}\n"...))
}

func (w *writer) line(line []byte) {
	w.lock.Lock()
	defer w.lock.Unlock()
	if w.err == nil {
		_, w.err = w.to.Write(line)
	}
}

func (w *writer) failure() error {
	w.lock.Lock()
	defer w.lock.Unlock()
	return w.err
}

// object is a JSON object that is put together from texts.
type object struct {
	written []byte
}

func (o *object) add(name string, value json.RawMessage) {
	o.written = append(o.written, ',')
	o.written = append(o.written, quoted(name)...)
	o.written = append(o.written, ':')
	o.written = append(o.written, value...)
}

func (o *object) text() json.RawMessage {
	if len(o.written) == 0 {
		return json.RawMessage("{}")
	}
	o.written[0] = '{'
	return append(o.written, '}')
}

// quoted is anything that is no text of JSON yet.
func quoted(value any) json.RawMessage {
	text, err := edictum.JSON(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return text
}
