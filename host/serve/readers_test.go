package serve

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// standardEvents reads a whole stream as the standard says: name, data and id of
// each event.
func standardEvents(text string) (list [][3]string) {
	event, id := "", ""
	var data []string
	text = strings.TrimPrefix(text, "\ufeff")
	lines := regexp.MustCompile(`\r\n|\r|\n`).Split(text, -1)
	for _, line := range lines[:len(lines)-1] { // the last one has no end
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			if event == "" {
				event = "message"
			}
			if data != nil {
				list = append(list, [3]string{event, strings.Join(data, "\n"), id})
			}
			event, data = "", nil
		case field == "event":
			event = value
		case field == "data":
			data = append(data, value)
		case field == "id" && !strings.Contains(value, "\x00"):
			id = value
		}
	}
	return list
}

// readStreams is weir.js's reader over streams that come on stdin as base64, one a line,
// cut wherever chance has it.
const readStreams = `
import { parser } from "./client/weir.js"
import { readFileSync } from "node:fs"
let seed = Number(process.argv[1])
const chance = (n) => (seed = (seed * 48271) % 2147483647) % n
const all = readFileSync(0, "utf8").trim().split("\n").map((line) => {
  const bytes = Buffer.from(line, "base64"), events = []
  const push = parser((...e) => events.push(e))
  for (let at = 0; at < bytes.length; ) {
    const n = 1 + chance(1 + chance(40))
    push(bytes.subarray(at, at + n))
    at += n
  }
  return events
})
process.stdout.write(JSON.stringify(all))
`

// S9: weir.js reads what the standard says, whatever the stream is made of and
// wherever it is cut: no content of rows is an event, and none is lost.
// Cases: 70, 77.
func TestClientReadsAnyStreamAsTheStandardSays(t *testing.T) {
	t.Parallel()
	path := node(t)
	seed := rand.Uint64N(1<<31-2) + 1
	r := rand.New(rand.NewPCG(seed, 1))
	pieces := []string{
		"data: ", "data:", "data", "event: ", "event: close", "id: ", "id:v~at", "retry: 1", ": comment", "dataa: x", "\n", "\n", "\n", "\n\n", "\r\n", "\r", "\x00", "\ufeff",
		" ", ":", "é", "\u2028", "😀", `{"rows":[{"__proto__":{"a":1}}]}`, `"\n\nevent: admin"`, "\\n", "x",
	}
	var streams []string
	var in bytes.Buffer
	for range 3000 {
		var b strings.Builder
		for range r.IntN(120) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		streams = append(streams, b.String())
		in.WriteString(base64.StdEncoding.EncodeToString([]byte(b.String())) + "\n")
	}
	// A stream of nothing would be a line of nothing at either end.
	streams = append(append([]string{"data: first\n\n"}, streams...), "data: last\n\n")
	input := base64.StdEncoding.EncodeToString([]byte(streams[0])) + "\n" + in.String() + base64.StdEncoding.EncodeToString([]byte(streams[len(streams)-1])) + "\n"
	cmd := exec.CommandContext(t.Context(), path, "--input-type=module", "-e", readStreams, "--", strconv.FormatUint(seed, 10))
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v\n%s", err, out)
	}
	var read [][][3]string
	if err := json.Unmarshal(out, &read); err != nil || len(read) != len(streams) {
		t.Fatalf("%d streams of %d were read: %v", len(read), len(streams), err)
	}
	events := 0
	for i, got := range read {
		want := standardEvents(streams[i])
		events += len(want)
		if len(got) != len(want) {
			t.Fatalf("seed %d: %q has %q, was read as %q", seed, streams[i], want, got)
		}
		for k := range want {
			if got[k] != want[k] {
				t.Fatalf("seed %d: %q has %q, was read as %q", seed, streams[i], want[k], got[k])
			}
		}
	}
	if events < 1000 {
		t.Errorf("%d streams have %d events: they prove nothing", len(streams), events)
	}
}
