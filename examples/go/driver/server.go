package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	edictum "github.com/edictum/edictum-guard-go"
)

// server is what the driver has open, and what is under way.
type server struct {
	host  *edictum.Host
	out   *writer
	lanes lanes

	lock   sync.Mutex
	guards map[string]*open

	// Requests that run beside others, and those that wait for a person.
	parallel, waiting sync.WaitGroup
}

// open is an open guard, and the sessions of its open calls.
type open struct {
	guard *edictum.Guard
	lock  sync.Mutex
	calls map[string]string
}

func (o *open) begins(call, session string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	o.calls[call] = session
}

func (o *open) ends(call string) {
	o.lock.Lock()
	defer o.lock.Unlock()
	delete(o.calls, call)
}

func (o *open) sessionOf(call string) (string, bool) {
	o.lock.Lock()
	defer o.lock.Unlock()
	session, ok := o.calls[call]
	return session, ok
}

func newServer(host *edictum.Host, output io.Writer) *server {
	return &server{host: host, out: &writer{to: output}, guards: map[string]*open{}}
}

// reply is a result, or something that waits for a person.
type reply struct {
	result json.RawMessage
	later  func() (json.RawMessage, error)
}

func now(result json.RawMessage, err error) (reply, error) {
	return reply{result: result}, err
}

// take carries out a line, or starts to.
func (s *server) take(line []byte) {
	request, refused := readRequest(line)
	if refused != nil {
		s.out.refuse(refused.id, refused.err)
		return
	}
	if request.nowMS != nil {
		if err := s.host.SetTime(time.UnixMilli(int64(*request.nowMS))); err != nil {
			s.out.refuse(request.id, err)
			return
		}
	}
	// Taken here, in the order of the lines.
	lane := s.lane(request)
	if !request.parallel {
		s.carryOut(request, lane)
		return
	}
	s.parallel.Add(1)
	go func() {
		defer s.parallel.Done()
		s.carryOut(request, lane)
	}()
}

func (s *server) carryOut(request *request, lane *lane) {
	lane.wait()
	reply, err := s.perform(context.Background(), request)
	lane.leave()
	switch {
	case err != nil:
		s.out.refuse(request.id, err)
	case reply.later == nil:
		s.out.answer(request.id, reply.result)
	default:
		s.waiting.Add(1)
		go func() {
			defer s.waiting.Done()
			if result, err := reply.later(); err != nil {
				s.out.refuse(request.id, err)
			} else {
				s.out.answer(request.id, result)
			}
		}()
	}
}

// close waits for what is under way, then closes all guards, which ends what waits.
func (s *server) close() {
	s.parallel.Wait()
	s.lock.Lock()
	guards := s.guards
	s.guards = nil
	s.lock.Unlock()
	for _, open := range guards {
		_ = open.guard.Close()
	}
	s.waiting.Wait()
}

func (s *server) perform(ctx context.Context, request *request) (reply, error) {
	switch request.op {
	case "hello":
		return now(s.hello(), nil)
	case "check", "templates":
		return now(s.host.Request(ctx, request.op, request.document()))
	case "open", "open_server":
		return now(s.open(ctx, request))
	case "close":
		return now(s.closeOne(ctx, request))
	case "reload", "counters", "workflow", "events", "health", "flush":
		open, err := s.guard(request)
		if err != nil {
			return reply{}, err
		}
		return now(open.guard.Request(ctx, request.op, request.document()))
	case "evaluate":
		return now(s.evaluate(ctx, request))
	case "begin":
		return s.begin(ctx, request)
	case "approve":
		return s.approve(ctx, request)
	case "finish":
		return now(s.finish(ctx, request))
	}
	return reply{}, badRequest("there is no operation `%s`", request.op)
}

// document is the fields without the guard, put together as they came.
func (r *request) document() json.RawMessage {
	var fields object
	for name, value := range r.fields {
		if name != "guard" {
			fields.add(name, value)
		}
	}
	return fields.text()
}

func (s *server) hello() json.RawMessage {
	return quoted(map[string]any{
		"protocol": 1, "host": "go", "version": edictum.Version(), "capabilities": s.capabilities(),
	})
}

// capabilities is what the library has: its driver has the same operations. "native" is that there is a library at all.
func (s *server) capabilities() []string {
	var hello struct {
		Capabilities []string `json:"capabilities"`
	}
	result, err := s.host.Request(context.Background(), "hello", nil)
	if err == nil {
		err = json.Unmarshal(result, &hello)
	}
	if err != nil {
		return []string{}
	}
	return append(hello.Capabilities, "native")
}

func (s *server) guard(request *request) (*open, error) {
	name, err := needed[string](request, "guard")
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	if open, ok := s.guards[name]; ok {
		return open, nil
	}
	return nil, &edictum.Error{Code: "not-found", Message: fmt.Sprintf("there is no open guard `%s`", name)}
}

func (s *server) takeOut(name string) *open {
	s.lock.Lock()
	defer s.lock.Unlock()
	open := s.guards[name]
	delete(s.guards, name)
	return open
}

func (s *server) open(ctx context.Context, request *request) (json.RawMessage, error) {
	name, err := needed[string](request, "guard")
	if err != nil {
		return nil, err
	}
	if before := s.takeOut(name); before != nil {
		_ = before.guard.Close()
	}
	var fields object
	fields.add("guard", request.fields["guard"])
	for name, value := range request.fields {
		if name != "guard" {
			fields.add(name, value)
		}
	}
	guard, err := edictum.Open(ctx, edictum.FromDocument(request.op, fields.text()),
		edictum.WithHost(s.host), edictum.WithEventBuffer(64<<20))
	if err != nil {
		return nil, err
	}
	s.lock.Lock()
	s.guards[name] = &open{guard: guard, calls: map[string]string{}}
	s.lock.Unlock()
	return guard.Opened(), nil
}

func (s *server) closeOne(ctx context.Context, request *request) (json.RawMessage, error) {
	open, err := s.guard(request)
	if err != nil {
		return nil, err
	}
	result, err := open.guard.Request(ctx, "close", nil)
	if err != nil {
		return nil, err
	}
	name, _ := needed[string](request, "guard")
	s.takeOut(name)
	return result, open.guard.Close()
}
