// Command quickstart is the first program of somebody who has installed the module.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	edictum "github.com/edictum/edictum-guard-go"
)

func main() {
	ctx := context.Background()
	guard, err := edictum.Open(ctx, edictum.FromTemplate("file-agent"))
	if err != nil {
		log.Fatal(err)
	}
	defer guard.Close()

	for _, path := range []string{"README.md", "/home/me/.ssh/id_rsa"} {
		text, err := guard.Run(ctx, "read_file", map[string]any{"path": path}, readFile)
		var blocked *edictum.BlockedError
		switch {
		case errors.As(err, &blocked):
			fmt.Println("blocked by", blocked.Decision.Name)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println(text)
		}
	}
}

func readFile(_ context.Context, args json.RawMessage) (any, error) {
	var given struct {
		Path string `json:"path"`
	}
	err := json.Unmarshal(args, &given)
	return "contents of " + given.Path, err
}
