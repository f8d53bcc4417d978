package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"weir/host/config"
)

// configName is the file that makes a directory a project.
const configName = "weir.toml"

// project is a directory with a weir.toml.
type project struct {
	dir    string // absolute
	file   string // its weir.toml
	shown  string // dir as people write it
	config *config.Config
	// sql are the files that a private database is made of; nil means [dev] schema
	// and seed.
	sql []string
}

// openProject reads the project in a directory, or the one whose weir.toml is
// named.
func (m *Main) openProject(arg string) (*project, error) {
	p, err := m.findProject(arg)
	if err != nil {
		return nil, err
	}
	if p.config, err = config.Load(p.file); err != nil {
		var faults config.Errors
		if errors.As(err, &faults) {
			for _, fault := range faults {
				fault.File = m.shown(p.file)
			}
		}
		return nil, err
	}
	return p, nil
}

// findProject is openProject without reading the file.
func (m *Main) findProject(arg string) (*project, error) {
	path := m.path(arg)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("there is no %s: name a directory with a %s, or make one with weir new NAME", m.shown(path), configName)
	case err != nil:
		return nil, err
	}
	p := &project{dir: path, file: filepath.Join(path, configName)}
	if !info.IsDir() {
		p.dir, p.file = filepath.Dir(path), path
	}
	if _, err := os.Stat(p.file); errors.Is(err, fs.ErrNotExist) {
		return nil, usagef("there is no %s in %s: name a directory that has one, or make one with weir new NAME", configName, m.shown(p.dir))
	}
	p.shown = m.shown(p.dir)
	return p, nil
}

// private says that weir keeps the project's database itself.
func (p *project) private() bool { return p.config.Database.URL.Reveal() == "" }

// hasCluster says that a private database was made, or begun.
func (p *project) hasCluster() bool {
	_, err := os.Stat(p.clusterDir())
	return err == nil
}
