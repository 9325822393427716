package edictum

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	agentKey    = "edk_production_test-agent-key"
	operatorKey = "edo_alice_test-operator-key"
)

// served is a running `edictum-host serve` (EDICTUM_HOST), and the folder of its rulesets.
type served struct {
	t       *testing.T
	address string
	folder  string
}

func serving(t *testing.T) *served {
	program := os.Getenv("EDICTUM_HOST")
	if program == "" {
		t.Skip("EDICTUM_HOST names no edictum-host")
	}
	folder := t.TempDir()
	server := &served{t: t, folder: filepath.Join(folder, "rulesets")}
	if err := os.Mkdir(server.folder, 0o700); err != nil {
		t.Fatal(err)
	}
	server.publish(rules)
	command := exec.Command(program, "serve", "--listen", "127.0.0.1:0", "--json", "--data", filepath.Join(folder, "data"),
		"--rulesets", server.folder, "--api-key", "production:"+agentKey, "--operator-key", "alice:"+operatorKey)
	output, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var announced struct{ Address string }
	if err := json.Unmarshal([]byte(line), &announced); err != nil {
		t.Fatal(err)
	}
	server.address = "http://" + announced.Address
	return server
}

// publish writes the ruleset so that nobody reads half of it.
func (s *served) publish(yaml string) {
	s.t.Helper()
	path := filepath.Join(s.folder, "go.yaml")
	err := os.WriteFile(path+".new", []byte(yaml), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) operator(method, path, body string) string {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.address+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+operatorKey)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s %v", response.Status, text, err)
	}
	return string(text)
}

func TestAServerGivesRulesAsksPeopleAndKeepsTheLog(t *testing.T) {
	server := serving(t)
	guard := opened(t, FromServer(Server{URL: server.address, APIKey: agentKey, AgentID: "gopher", BundleName: "go"}),
		WithPrincipal(Principal{Role: "dev"}), WithLimits(Limits{MaxAttempts: 100}))
	session := guard.Session("s")
	run := func(context.Context, json.RawMessage) (any, error) { return "done", nil }
	if _, err := session.Run(t.Context(), "Bash", map[string]any{"command": "rm"}, run); !errors.Is(err, ErrBlocked) {
		t.Errorf("%v", err)
	}
	if _, err := session.Run(t.Context(), "Bash", map[string]any{"command": "ls"}, run); err != nil {
		t.Error(err)
	}
	if counters, err := session.Counters(t.Context()); err != nil || counters.Attempts != 2 || counters.Execs != 1 {
		t.Errorf("%+v %v", counters, err)
	}

	// A person says yes, and another time no.
	for _, answer := range []string{"approved", "rejected"} {
		ran := make(chan error, 1)
		var group sync.WaitGroup
		group.Add(1)
		go func() {
			defer group.Done()
			_, err := session.Run(t.Context(), "Deploy", map[string]any{"to": "x"}, run)
			ran <- err
		}()
		eventually(t, func() bool {
			var asked struct{ Approvals []struct{ ID string } }
			if err := json.Unmarshal([]byte(server.operator("GET", "/v1/approvals?status=pending", "")), &asked); err != nil {
				t.Fatal(err)
			}
			for _, approval := range asked.Approvals {
				server.operator("POST", "/v1/approvals/"+approval.ID+"/decide", fmt.Sprintf(`{"approved":%t}`, answer == "approved"))
			}
			return len(asked.Approvals) > 0
		})
		if err := <-ran; (err == nil) != (answer == "approved") || err != nil && !errors.Is(err, ErrBlocked) {
			t.Errorf("%s: %v", answer, err)
		}
		group.Wait()
	}

	// New rules come by themselves.
	before := guard.PolicyVersion()
	server.publish(strings.ReplaceAll(rules, "contains: rm", "contains: ls"))
	eventually(t, func() bool { return guard.PolicyVersion() != before })
	if _, err := session.Run(t.Context(), "Bash", map[string]any{"command": "ls"}, run); !errors.Is(err, ErrBlocked) {
		t.Errorf("%v", err)
	}
	if health, err := guard.Health(t.Context()); err != nil || !strings.Contains(string(health), `"stream":"live"`) {
		t.Errorf("%s %v", health, err)
	}
	if left, err := guard.Flush(t.Context()); err != nil || left != 0 {
		t.Errorf("%d %v", left, err)
	}
	events := server.operator("GET", "/v1/events", "")
	for _, part := range []string{`"gopher"`, `"call_blocked"`, `"call_executed"`, `"dev"`} {
		if !strings.Contains(events, part) {
			t.Errorf("%s lacks %s", events, part)
		}
	}
}

func TestWhatOpenServerHasNoFieldForGoesWhereItHasAPlace(t *testing.T) {
	source := FromServer(Server{URL: "http://[::1]:1", APIKey: "secret", Tags: map[string]string{"a": "b"}})
	op, fields, err := source.load(t.Context(), nil)
	if err != nil || op != "open_server" {
		t.Fatalf("%s %v", op, err)
	}
	given := &settings{fields: map[string]json.RawMessage{}, options: map[string]json.RawMessage{}}
	for _, option := range []Option{
		WithEnv(map[string]string{"A": "b"}), WithMode("observe"), WithApprover(ApproverFunc(nil)),
		WithAuditSink(AuditSinkFunc(nil)), WithName("n"),
	} {
		if err := option(given); err != nil {
			t.Fatal(err)
		}
	}
	document, err := given.document(op, fields)
	want := `{"api_key":"secret","approvals":"host","decision_log":"local","guard":"n","mode":"observe",` +
		`"options":{"env":{"A":"b"}},"tags":{"a":"b"},"url":"http://[::1]:1"}`
	if err != nil || string(document) != want {
		t.Errorf("%s %v", document, err)
	}
}
