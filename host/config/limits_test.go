package config_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"weir/host/config"
	"weir/host/tenant"
)

// The limits of the file are those of a tenant, field by field, with the same
// defaults: the conversion compiles and changes nothing.
func TestLimitsAreThoseOfATenant(t *testing.T) {
	t.Parallel()
	got := tenant.Limits(config.Default().Limits)
	if want := (tenant.Limits{}).WithDefaults(); got != want {
		t.Errorf("defaults of the file\n%+v\nof a tenant\n%+v", got, want)
	}
}

// TestTableOfLimitsIsTrue: docs/operating.md names every limit once, with its
// default as one would write it, and says which bound the whole server.
func TestTableOfLimitsIsTrue(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/operating.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Limits\n")
	section, _, _ = strings.Cut(section, "\n## ")
	told := map[string]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 5 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		key := strings.TrimSpace(cells[1])
		if _, twice := told[key]; twice {
			t.Errorf("the table has %s twice", key)
		}
		told[key] = strings.TrimSpace(cells[2])
	}
	for i := range reflect.TypeFor[config.Limits]().NumField() {
		tag := reflect.TypeFor[config.Limits]().Field(i).Tag
		key, want := "`"+tag.Get("toml")+"`", tag.Get("default")
		if tag.Get("scope") == "server" {
			key += " (S)"
		}
		got, ok := told[key]
		delete(told, key)
		switch {
		case !ok:
			t.Errorf("the table has no %s", key)
		case want == "cores" && got == "cores − 1":
		case want == "" && tag.Get("off") != "" && (got == "off" || got == "0" || got == "a share"):
		case got != want:
			t.Errorf("%s is %q by default, the table says %q", key, want, got)
		}
	}
	for key := range told {
		t.Errorf("the table has %s, which is no limit", key)
	}
}
