// Command work is a guest that computes as plugins do, for the price of the meter.
package main

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"
)

type row struct {
	ID     int64     `json:"id"`
	RoomID int64     `json:"room_id"`
	Author string    `json:"author"`
	Body   string    `json:"body"`
	SentAt time.Time `json:"sent_at"`
	State  string    `json:"state"`
	Score  float64   `json:"score"`
	N      int32     `json:"n"`
}

var (
	text    []byte
	words   []string
	numbers []int
	pattern = regexp.MustCompile(`([a-z]+) (\d+)`)
	works   = []func() int{jsonWork, sortInts, sortStrings, hash, maps, build, match, pack, fib, sum, matrix}
)

func init() {
	rows := make([]row, 50)
	for i := range rows {
		rows[i] = row{int64(i), int64(i % 9), fmt.Sprintf("user %d", i), strings.Repeat("some words ", 8), time.Unix(int64(1_700_000_000+i), 0).UTC(), "open", float64(i) / 8, int32(i)}
	}
	text, _ = json.Marshal(rows)
	seed := uint32(1)
	for range 4000 {
		seed = seed*1664525 + 1013904223
		numbers = append(numbers, int(seed>>8))
		words = append(words, fmt.Sprintf("w%d", seed>>16))
	}
}

// jsonWork decodes and encodes 50 rows.
func jsonWork() int {
	var rows []row
	if err := json.Unmarshal(text, &rows); err != nil {
		panic(err)
	}
	out, _ := json.Marshal(rows)
	return len(out)
}

func sortInts() int {
	list := slices.Clone(numbers)
	slices.Sort(list)
	return list[7]
}

func sortStrings() int {
	list := slices.Clone(words)
	sort.Slice(list, func(i, j int) bool { return list[i] < list[j] })
	return len(list[7])
}

func hash() int {
	sum := sha256.Sum256(text)
	return int(sum[0])
}

func maps() int {
	m := map[string]int{}
	for i, w := range words {
		m[w] += i
	}
	return len(m)
}

func build() int {
	var b strings.Builder
	for i, w := range words[:1000] {
		fmt.Fprintf(&b, "%s: %d of %v, ", w, i, w == "x")
	}
	return b.Len()
}

func match() int { return len(pattern.FindAllSubmatchIndex(text, -1)) }

func pack() int {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write(text)
	_ = w.Close()
	return b.Len()
}

//go:noinline
func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

func fib() int { return fibonacci(20) }

// sum is the smallest loop there is: most of it is the meter's.
func sum() int {
	n := 0
	for i := range 100_000 {
		n ^= i
	}
	return n
}

func matrix() int {
	const n = 48
	var a, b, c [n][n]float64
	for i := range n {
		for j := range n {
			a[i][j], b[i][j] = float64(i+j), float64(i-j)
		}
	}
	for i := range n {
		for j := range n {
			for k := range n {
				c[i][j] += a[i][k] * b[k][j]
			}
		}
	}
	return int(c[3][4])
}

//go:wasmexport work
func work(kind int32) int32 { return int32(works[kind]()) }

func main() {}
