// Command pack makes a module proxy in a folder, which holds this module and the library that it is linked with:
//
//	go run ./internal/pack -version v1.2.3 -license ../../LICENSE -to FOLDER
//
// With GOPROXY=file://FOLDER the go command takes the module from there.
package main

import (
	"archive/zip"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const module = "github.com/edictum/edictum-guard-go"

func main() {
	version := flag.String("version", "", "as v1.2.3")
	license := flag.String("license", "", "the licence of the module")
	to := flag.String("to", "", "the folder of the proxy")
	flag.Parse()
	if err := pack(*version, *license, *to); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
}

func pack(version, license, to string) error {
	if !strings.HasPrefix(version, "v") || license == "" || to == "" {
		return errors.New("-version, -license and -to are needed")
	}
	folder := filepath.Join(to, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		return err
	}
	info := fmt.Sprintf("{\"Version\":%q}\n", version)
	for name, text := range map[string][]byte{version + ".mod": mod, version + ".info": []byte(info), "list": []byte(version + "\n")} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil {
			return err
		}
	}
	archive := filepath.Join(folder, version+".zip")
	file, err := os.Create(archive)
	if err != nil {
		return err
	}
	return errors.Join(write(file, module+"@"+version, license), file.Close())
}

// write puts all files of the module into an archive. The same files make the same archive.
func write(to io.Writer, root, license string) error {
	archive := zip.NewWriter(to)
	add := func(name, from string) error {
		header := &zip.FileHeader{Name: path.Join(root, name), Method: zip.Deflate, Modified: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)}
		entry, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		file, err := os.Open(from)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(entry, file)
		return err
	}
	if err := add("LICENSE", license); err != nil {
		return err
	}
	library := false
	err := filepath.WalkDir(".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && entry.Name() != "." && strings.HasPrefix(entry.Name(), "."):
			return filepath.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		library = library || strings.HasPrefix(filepath.ToSlash(file), "lib/libedictum.")
		return add(filepath.ToSlash(file), file)
	})
	if err == nil && !library {
		err = errors.New("there is no library in lib; `cargo xtask libedictum` puts it there")
	}
	return errors.Join(err, archive.Close())
}
