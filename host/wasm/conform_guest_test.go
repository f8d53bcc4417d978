package wasm

import (
	"context"
	"path/filepath"
	"testing"

	"weir/abi/abitest"
	"weir/abi/conform"
	. "weir/host/wasm/wasmtest"
)

// machine is what guests of the kit run on.
func machine(t *testing.T) *Machine {
	t.Helper()
	dir := CacheHome()
	if dir != "" {
		dir = filepath.Join(dir, "weir", "wasm")
	}
	m, err := NewMachine(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

// broken returns what failed, by the name of the rule.
func broken(t *testing.T, module []byte) map[string]string {
	t.Helper()
	results, err := conform.Check(t.Context(), machine(t), conform.Plugin{Module: module})
	if err != nil {
		t.Fatal(err)
	}
	failed := map[string]string{}
	for _, r := range results {
		if r.Failed != "" {
			failed[r.Name] = r.Failed
		}
	}
	for _, r := range results {
		if r.Unchecked && len(failed) == 0 {
			t.Errorf("%s was not checked, and nothing failed", r.Name)
		}
	}
	return failed
}

// K2: a guest that keeps the contract fails no rule.
func TestHonestGuestConforms(t *testing.T) {
	t.Parallel()
	if failed := broken(t, abitest.Honest()); len(failed) > 0 {
		t.Errorf("failed: %v", failed)
	}
}

// K1: each rule has a guest that breaks it and no other.
func TestWrongGuestsFailTheirOwnRule(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, w := range abitest.Wrongs() {
		have[w.Rule] = true
		t.Run(w.Rule+" "+w.How, func(t *testing.T) {
			t.Parallel()
			failed := broken(t, w.Module)
			if failed[w.Rule] == "" {
				t.Errorf("it keeps the rule")
			}
			t.Log(failed[w.Rule])
			delete(failed, w.Rule)
			if len(failed) > 0 {
				t.Errorf("it also fails %v", failed)
			}
		})
	}
	for _, r := range conform.Rules() {
		if !have[r.Name] {
			t.Errorf("no guest breaks %s", r.Name)
		}
	}
}
