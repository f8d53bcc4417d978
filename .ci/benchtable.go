// Command benchtable reads lines "ROW BenchmarkName-2 N value unit …" and prints
// a table of medians, with the spread of the runs.
package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

func main() {
	type key struct{ row, name, unit string }
	var order []key
	values := map[key][]float64{}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		f := strings.Fields(in.Text())
		if len(f) < 5 || !strings.HasPrefix(f[1], "Benchmark") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(f[1], "Benchmark"), "-2")
		for i := 3; i+1 < len(f); i += 2 {
			v, err := strconv.ParseFloat(f[i], 64)
			if err != nil || v == 0 && f[i+1] == "ns/op" {
				continue
			}
			k := key{f[0], name, f[i+1]}
			if values[k] == nil {
				order = append(order, k)
			}
			values[k] = append(values[k], v)
		}
	}
	fmt.Println("| row | benchmark | figure | median | least | most | runs |")
	fmt.Println("|---|---|---|---|---|---|---|")
	for _, k := range order {
		v := values[k]
		slices.Sort(v)
		fmt.Printf("| %s | %s | %s | %.4g | %.4g | %.4g | %d |\n", k.row, k.name, k.unit, v[len(v)/2], v[0], v[len(v)-1], len(v))
	}
}
