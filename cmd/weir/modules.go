package main

import (
	"context"
	"crypto/sha256"
	"sync"

	"weir/host/plugin"
)

// modules are what the plugins of a project say of themselves. A file is asked
// once for each of its contents, because compiling takes long. It is safe for
// concurrent use.
type modules struct {
	m *Main

	mu    sync.Mutex // protects the field below, and is held while one is asked
	known map[string]*module
}

// of returns what the plugin in a file says.
func (k *modules) of(ctx context.Context, file, engine string) (*module, error) {
	code, err := readModule(file)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if about := k.known[file]; about != nil && about.file == sha256.Sum256(code) {
		return about, nil
	}
	about, err := k.m.describeFile(ctx, file, engine, code)
	if err != nil {
		delete(k.known, file)
		return nil, err
	}
	if k.known == nil {
		k.known = map[string]*module{}
	}
	about.file = sha256.Sum256(code)
	k.known[file] = about
	return about, nil
}

// in returns what the plugins in a directory say, in the order of their names.
// Those that cannot be asked are left out: the host tells what is wrong with
// them.
func (k *modules) in(ctx context.Context, dir, engine string) []*module {
	files, _ := plugin.Files(dir) // only a pattern could be wrong
	var list []*module
	for _, file := range files {
		if about, err := k.of(ctx, file, engine); err == nil {
			list = append(list, about)
		}
	}
	return list
}
