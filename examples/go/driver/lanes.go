package main

import "sync"

// lanes keeps the requests of one session in order when they run at the same time: each waits for the one before it.
type lanes struct {
	lock sync.Mutex
	last map[string]*lane
}

// lane is the place of a request in the order of its session; nil is no order.
type lane struct {
	lanes  *lanes
	name   string
	before <-chan struct{}
	left   chan struct{}
}

// enter takes the next place.
func (l *lanes) enter(name string) *lane {
	l.lock.Lock()
	defer l.lock.Unlock()
	if l.last == nil {
		l.last = map[string]*lane{}
	}
	place := &lane{lanes: l, name: name, left: make(chan struct{})}
	if before, ok := l.last[name]; ok {
		place.before = before.left
	}
	l.last[name] = place
	return place
}

func (l *lane) wait() {
	if l != nil && l.before != nil {
		<-l.before
	}
}

func (l *lane) leave() {
	if l == nil {
		return
	}
	close(l.left)
	l.lanes.lock.Lock()
	defer l.lanes.lock.Unlock()
	if l.lanes.last[l.name] == l {
		delete(l.lanes.last, l.name)
	}
}

// lane is the place of a request among those of its session. One that waits for a person holds up no other.
func (s *server) lane(request *request) *lane {
	switch request.op {
	case "begin", "approve", "finish", "counters", "workflow":
	default:
		return nil
	}
	open, err := s.guard(request)
	if err != nil {
		return nil
	}
	session, sessionErr := optional[string](request, "session_id")
	call, callErr := optional[string](request, "call_id")
	outcome, outcomeErr := optional[string](request, "outcome")
	if sessionErr != nil || callErr != nil || outcomeErr != nil || request.op == "approve" && outcome == nil {
		return nil
	}
	guard := string(request.fields["guard"])
	switch {
	case session != nil:
		if call != nil && request.op == "begin" {
			// Known before it begins: what comes behind it may be about this call.
			open.begins(*call, *session)
		}
		return s.lanes.enter(guard + "\x00" + *session)
	case call != nil:
		if session, ok := open.sessionOf(*call); ok {
			return s.lanes.enter(guard + "\x00" + session)
		}
	}
	return nil
}
