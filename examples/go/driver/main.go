// Command driver is the driver protocol (docs/driver.md) in Go: one request a line on stdin, one answer a line on stdout. It
// puts the Go module through the same tests as the other hosts.
//
// Texts of calls, outputs and results go to the engine as they came, and come back as they are.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	edictum "github.com/edictum/edictum-guard-go"
)

// Longest line, in bytes. A call may have 16 MiB, and its escapes.
const maxLine = 128 << 20

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

func run(input io.Reader, output io.Writer) error {
	host, err := edictum.NewHost(edictum.HostOptions{})
	if err != nil {
		return err
	}
	server := newServer(host, output)
	lines := bufio.NewReaderSize(input, 1<<16)
	for {
		line, err := readLine(lines)
		var broken brokenLine
		switch {
		case errors.As(err, &broken):
			server.out.refuse(nil, badRequest("%s", broken))
		case errors.Is(err, io.EOF):
			server.close()
			return server.out.failure()
		case err != nil:
			return err
		case len(bytes.TrimSpace(line)) > 0:
			server.take(line)
		}
		if err := server.out.failure(); err != nil {
			return err
		}
	}
}

type brokenLine string

func (b brokenLine) Error() string { return string(b) }

// readLine reads a line. One that is too long is read to its end and thrown away.
func readLine(from *bufio.Reader) ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := from.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; tooLong {
			line = nil
		} else {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !tooLong):
			return nil, err
		case tooLong:
			return nil, brokenLine("the line is too long")
		}
		return line, nil
	}
}
