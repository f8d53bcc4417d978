// Package devdbtest gives every test a fresh database.
package devdbtest

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"weir/host/devdb"
)

type DB struct {
	URL     string
	Name    string
	Cluster *devdb.Cluster
}

type Option func(*options)
type options struct{ template string }

func From(template string) Option { return func(o *options) { o.template = template } }

func Main(m *testing.M, opts ...goleak.Option)                         { os.Exit(m.Run()) }
func New(t testing.TB, opts ...Option) DB                              { t.Fatal("devdb: not built yet"); return DB{} }
func Template(t testing.TB, name string, setup func(url string) error) {}
