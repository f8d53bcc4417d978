package wasm

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"weir/abi"
	"weir/host/tenant"
)

// abiDoc is the page for guests in other languages. It is normative, so it must
// say what the code does.
func abiDoc(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/abi.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// described reads the signatures of a table whose rows begin with
// `name(param type, …) → type`.
func described(doc string) map[string]string {
	all := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)\\(([^)]*)\\)(?: → (\\w+))?` \\|").FindAllStringSubmatch(doc, -1) {
		var types []string
		for _, param := range strings.Split(row[2], ", ") {
			_, typ, _ := strings.Cut(param, " ")
			types = append(types, typ)
		}
		s := "(" + strings.Join(types, ", ") + ")"
		if row[3] != "" {
			s += " -> " + row[3]
		}
		all[row[1]] = s
	}
	return all
}

func TestDocListsEveryHostFunctionAndExport(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, f := range hostFuncs {
		want[f.name] = signature(f.params, f.results)
	}
	for _, e := range guestExports {
		want[e.name] = e.signature
	}
	got := described(abiDoc(t))
	if !maps.Equal(got, want) {
		t.Errorf("docs/abi.md says\n%v\nthe code\n%v", got, want)
	}
}

func TestDocListsEveryErrno(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| ([a-z ]+) \| [^|]*\|$`).FindAllStringSubmatch(abiDoc(t), -1) {
		got[row[1]] = row[2]
	}
	want := map[string]string{}
	for e := abi.Errno(1); e.String() != abi.Errno(-1).String(); e++ {
		want[strconv.Itoa(int(e))] = e.String()
		if e >= minNeeded {
			t.Errorf("errno %d could be the size that rows_read needs", e)
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("docs/abi.md says\n%v\nthe code\n%v", got, want)
	}
}

func TestDocListsWhatWASIAnswers(t *testing.T) {
	t.Parallel()
	_, text, _ := strings.Cut(abiDoc(t), "**WASI.**")
	text, _, _ = strings.Cut(text, "\n\n")
	var named []string
	for _, word := range regexp.MustCompile("`([a-z]+_[a-z_]*\\*?)`").FindAllStringSubmatch(text, -1) {
		named = append(named, word[1])
	}
	listed := func(name string) bool {
		return slices.ContainsFunc(named, func(n string) bool {
			prefix, many := strings.CutSuffix(n, "*")
			return name == n || many && strings.HasPrefix(name, prefix)
		})
	}
	for _, f := range wasiFuncs {
		if listed(f.name) != (f.run != nil) {
			t.Errorf("%s: listed %v, answered %v", f.name, listed(f.name), f.run != nil)
		}
	}
}

func TestDocStatesTheLimits(t *testing.T) {
	t.Parallel()
	doc, l := abiDoc(t), tenant.Limits{}.WithDefaults()
	kib, mib := func(n int) string { return fmt.Sprint(n>>10, " KiB") }, func(n int64) string { return fmt.Sprint(n>>20, " MiB") }
	for _, want := range []string{
		fmt.Sprintf("| manifest; statements; functions | %s; %d; %d |", mib(abi.MaxManifest), abi.MaxStatements, abi.MaxFunctions),
		fmt.Sprintf("| text of a statement; its parameters; its fragments | %s; %d; %d |", kib(abi.MaxStatementText), abi.MaxParameters, abi.MaxFragments),
		fmt.Sprintf("| error value; nesting of CBOR | %s; %d |", kib(abi.MaxError), abi.MaxDepth),
		fmt.Sprintf("| %d bytes; %d bytes; %d |", maxConfigKey, maxNestName, maxColumns),
		fmt.Sprintf("`weir_buf(%d)`", abi.InputBuffer),
		fmt.Sprintf("; at most %d deep |", abi.MaxNest),
		fmt.Sprintf("**never smaller than %d**", minNeeded),
		fmt.Sprintf("take −%d and below for a size", minNeeded),
		fmt.Sprintf("reaches %s,", kib(maxPage)),
		fmt.Sprintf("fills memory, at most %s at once", mib(maxRandom)),
		fmt.Sprintf("At most\n%s.", mib(maxArgs)),
		fmt.Sprintf("for logs; at most %s", kib(maxReason)),
		fmt.Sprintf("a start has %d s | `guest_timeout` | %d ms |", int(startTimeout.Seconds()), l.GuestTimeout.Milliseconds()),
		fmt.Sprintf("`mutation_timeout` | %v s, %v s, %v s |", l.QueryTimeout.Seconds(), l.PolicyTimeout.Seconds(), l.MutationTimeout.Seconds()),
		fmt.Sprintf("`memory_bytes` | %s; %s |", mib(l.MaxModuleBytes), mib(l.MaxMemoryBytes)),
		fmt.Sprintf("`handles` | %d; %d; %d |", l.MaxHostCalls, l.MaxStatements, l.MaxHandles),
		fmt.Sprintf("`result_bytes` | %d; %s |", l.MaxResultRows, mib(l.MaxResultBytes)),
		fmt.Sprintf("(a line: %s) | `guest_log_lines`; `guest_log_bytes` | %d; %s |", kib(maxLine), l.MaxGuestLogLines, kib(l.MaxGuestLogBytes)),
	} {
		if !strings.Contains(doc, want) {
			t.Errorf("docs/abi.md does not say %q", want)
		}
	}
}

// The C plugin of the page describes itself with a valid manifest.
func TestDocExampleIsAPlugin(t *testing.T) {
	t.Parallel()
	text := func(name string) []byte {
		t.Helper()
		_, code, _ := strings.Cut(abiDoc(t), "static const char "+name+"[] =")
		code, _, _ = strings.Cut(code, ";")
		var all []byte
		for _, literal := range regexp.MustCompile(`"[^"]*"`).FindAllString(code, -1) {
			s, err := strconv.Unquote(literal)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, s...)
		}
		return all
	}
	m, err := abi.DecodeManifest(text("manifest"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Validate(); err != nil {
		t.Error(err)
	}
	if len(m.Functions) != 1 || m.Functions[0].Name != "todos.list" || !slices.Equal(m.Functions[0].Uses, []int{0}) {
		t.Errorf("%+v", m)
	}
	if e, err := abi.DecodeError(text("failed")); err != nil || e.Code != "failed" || e.Message != "query failed" {
		t.Errorf("%+v, %v", e, err)
	}
}
