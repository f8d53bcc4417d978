package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/BurntSushi/toml"
)

const (
	maxFile   = 256 << 10 // a configuration, or a mistake
	maxSecret = 64 << 10
)

// Load reads the file at path, expands variables from the environment and reads
// the secrets that the file names by path. The error is Errors, or that of
// opening the file.
func Load(path string) (*Config, error) {
	data, err := readFile(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("read config: %w", err)
	}
	c, f := parse(path, data, os.Getenv)
	if c == nil {
		return nil, f.err()
	}
	readTwins(reflect.ValueOf(c).Elem(), "", f)
	if c.validate(f); len(f.list) > 0 {
		return nil, f.err()
	}
	return c, nil
}

// Parse reads a file's content. name is used in messages and for the directory
// of relative paths; getenv gives variables, where "" means not set. It opens no
// file: a secret that is named by path stays empty until Load reads it. The
// error is Errors.
func Parse(name string, data []byte, getenv func(string) string) (*Config, error) {
	c, f := parse(name, data, getenv)
	if c == nil {
		return nil, f.err()
	}
	if c.validate(f); len(f.list) > 0 {
		return nil, f.err()
	}
	return c, nil
}

// Validate reports what is wrong with c beyond its types. The error is Errors.
func (c *Config) Validate() error {
	f := &faults{file: c.file, lines: c.lines}
	c.validate(f)
	return f.err()
}

func newConfig(name string) *Config {
	c := &Config{file: name, set: map[string]bool{}, from: map[string][]string{}}
	setDefaults(reflect.ValueOf(c).Elem())
	return c
}

// parse returns a nil Config when the text is not TOML; nothing more can be said
// of such a file.
func parse(name string, data []byte, getenv func(string) string) (*Config, *faults) {
	f := &faults{file: name, used: map[string][]variableUse{}}
	var raw map[string]any
	if len(data) > maxFile {
		f.at("", "the file is larger than %d KiB: is it a configuration?", maxFile>>10)
		return nil, f
	}
	if err := toml.Unmarshal(data, &raw); err != nil {
		e, text := &Error{File: name}, strings.TrimPrefix(err.Error(), "toml: ")
		var pe toml.ParseError
		if errors.As(err, &pe) {
			e.Line, text = pe.Position.Line, pe.Message
		}
		e.Text = "not TOML: " + strings.TrimSuffix(text, ".") + ": correct this line or the one before"
		f.list = append(f.list, e)
		return nil, f
	}
	f.lines = keyLines(string(data))
	c := newConfig(name)
	c.lines = f.lines
	d := &decoder{faults: f, getenv: getenv, set: c.set}
	d.table(raw, reflect.ValueOf(c).Elem(), "")
	c.resolve(filepath.Dir(name))
	return c, f
}

// readTwins reads every secret whose _file twin is set.
func readTwins(v reflect.Value, prefix string, f *faults) {
	for _, fd := range fieldsOf(v.Type()) {
		key, fv := joinKey(prefix, fd.key), v.Field(fd.index)
		switch {
		case fd.twin != "":
			twinKey := joinKey(prefix, fd.twin)
			path := v.Field(fieldNamed(v.Type(), fd.twin).index).String()
			if path == "" || fv.String() != "" {
				continue
			}
			data, err := readFile(path, maxSecret)
			text := strings.TrimRight(string(data), "\r\n")
			switch {
			case err != nil:
				f.at(twinKey, "%s cannot be read: %v: write the file or correct the path", twinKey, err)
			case text == "":
				f.at(twinKey, "%s is empty: write the secret into %s", twinKey, path)
			}
			fv.SetString(text)
		case fv.Kind() == reflect.Struct:
			readTwins(fv, key, f)
		case fv.Kind() == reflect.Slice && fv.Type().Elem().Kind() == reflect.Struct:
			for i := range fv.Len() {
				readTwins(fv.Index(i), fmt.Sprintf("%s[%d]", key, i), f)
			}
		case fv.Kind() == reflect.Map && fv.Type().Elem().Kind() == reflect.Struct:
			for _, name := range fv.MapKeys() {
				// A map's values cannot be set in place.
				one := reflect.New(fv.Type().Elem()).Elem()
				one.Set(fv.MapIndex(name))
				readTwins(one, joinKey(key, name.String()), f)
				fv.SetMapIndex(name, one)
			}
		}
	}
}

// readFile reads a regular file of at most limit bytes. A device or a pipe would
// block or never end.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s is larger than %d KiB", path, limit>>10)
	}
	return data, nil
}
