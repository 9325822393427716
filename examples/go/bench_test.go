//go:build unix

package edictum

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// As the benchmark of the Rust host has them: so many rules on so many tools, every tenth with a regular expression.
func ruleset(rules, tools int) string {
	var text strings.Builder
	text.WriteString("apiVersion: edictum/v1\nkind: Ruleset\nmetadata: {name: bench}\ndefaults: {mode: enforce}\nrules:\n")
	for number := range rules {
		condition := fmt.Sprintf("contains: never-%d", number)
		if number%10 == 0 {
			condition = fmt.Sprintf("matches: 'never-%d[0-9]+x'", number)
		}
		fmt.Fprintf(&text, "  - {id: r%d, type: pre, tool: tool%d, when: {args.command: {%s}}, then: {action: block, message: no}}\n",
			number, number%tools, condition)
	}
	return strings.ReplaceAll(text.String(), "message: no}", "message: never}")
}

var sizes = []struct{ rules, tools int }{{10, 1}, {100, 4}}

// Arguments of about 300 bytes.
var arguments = json.RawMessage(`{"command":"` + strings.Repeat("git status --short; ", 12) + `","cwd":"/srv/project","timeout":30}`)

func benched(b *testing.B, run func(b *testing.B, guard *Guard)) {
	for _, size := range sizes {
		b.Run(fmt.Sprintf("rules=%d", size.rules), func(b *testing.B) {
			unlimited := WithLimits(Limits{MaxAttempts: 1 << 40, MaxToolCalls: 1 << 40})
			guard := opened(b, FromYAMLString(ruleset(size.rules, size.tools)), WithOption("detail", "fired"), unlimited, WithEventBuffer(1<<16))
			b.ReportAllocs()
			before := cpu(b)
			run(b, guard)
			// On a busy machine this says more than the clock.
			b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpu is the time that this process has computed, in nanoseconds.
func cpu(b *testing.B) int64 {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return used.Utime.Nano() + used.Stime.Nano()
}

func BenchmarkEvaluate(b *testing.B) {
	ctx := context.Background()
	benched(b, func(b *testing.B, guard *Guard) {
		for b.Loop() {
			if _, err := guard.EvaluateJSON(ctx, Call{Tool: "tool0", Args: arguments}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkEvaluateParallel(b *testing.B) {
	ctx := context.Background()
	benched(b, func(b *testing.B, guard *Guard) {
		b.RunParallel(func(loop *testing.PB) {
			for loop.Next() {
				if _, err := guard.EvaluateJSON(ctx, Call{Tool: "tool0", Args: arguments}, nil); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

func BenchmarkBeginFinish(b *testing.B) {
	ctx := context.Background()
	result := Outcome{Output: json.RawMessage(`"on branch main"`)}
	benched(b, func(b *testing.B, guard *Guard) {
		for b.Loop() {
			decision, err := guard.Begin(ctx, Call{Tool: "tool0", Args: arguments, SessionID: "s"})
			if err != nil || !decision.Allowed() {
				b.Fatal(decision, err)
			}
			if _, err := guard.Finish(ctx, decision.CallID, result); err != nil {
				b.Fatal(err)
			}
		}
	})
}
