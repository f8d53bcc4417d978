package host_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"weir/host/hosttest"
)

// TestMetricsOfAHost: every room's figures follow Prometheus' conventions, and
// docs/operating.md lists exactly those that there are.
func TestMetricsOfAHost(t *testing.T) {
	t.Parallel()
	s := hosttest.Start(t, hosttest.Config{Schema: todos, Modules: map[string][]byte{"todos.wasm": module(byList)}})
	stream := watch(t, s.URL+"/v1/q/todos.list?list=1")
	stream.result(t)
	s.SQL(t, `insert into todos values (100, 1, 'measured')`)
	stream.result(t)
	if resp, err := http.Get(s.URL + "/v1/q/todos.nothing"); err != nil {
		t.Fatal(err)
	} else {
		resp.Body.Close()
	}
	scraped := metrics(t, s)
	problems, err := promlint.New(strings.NewReader(scraped)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}

	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(scraped))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{
		"weir_reactor_groups": 1, "weir_reactor_subscriptions": 1, "weir_changelog_healthy": 1, "weir_plugin_plugins": 1,
	} {
		if got := families[name].GetMetric(); len(got) != 1 || got[0].GetGauge().GetValue() != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}

	// The change and the run that it caused were measured.
	for _, name := range []string{"weir_reactor_written_seconds", "weir_reactor_apply_seconds", "weir_reactor_publish_seconds"} {
		h := families[name].GetMetric()
		if len(h) != 1 || h[0].GetHistogram().GetSampleCount() == 0 || h[0].GetHistogram().GetSampleSum() <= 0 {
			t.Errorf("%s measured nothing: %v", name, h)
		}
	}

	// The dashboard asks for nothing that is not there.
	asked := regexp.MustCompile(`\b(weir|go|process)_[a-z_]+`).FindAllString(strings.Join(dashboardQueries(t), "\n"), -1)
	if len(asked) < 40 {
		t.Errorf("docs/grafana.json asks for %d metrics", len(asked))
	}
	for _, name := range asked {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if families[name] == nil && families[base].GetType().String() != "HISTOGRAM" && name != "weir_serve_closes_total" && name != "weir_tenant_limits_total" {
			t.Errorf("docs/grafana.json asks for %s, which is not there", name)
		}
	}

	listed := listedMetrics(text(t, "../docs/operating.md"))
	for name := range listed {
		// No stream has ended and no limit was reached, so nothing is told of why.
		if families[name] == nil && name != "weir_serve_closes_total" && name != "weir_tenant_limits_total" {
			t.Errorf("docs/operating.md lists %s, which is not there", name)
		}
	}
	for name, family := range families {
		if strings.HasPrefix(name, "weir_") && !listed[name] {
			t.Errorf("docs/operating.md does not list %s: %s", name, family.GetHelp())
		}
	}
}

// listedMetrics reads the table of metrics: a row for each prefix. A word after
// "by" is a label.
func listedMetrics(doc string) map[string]bool {
	listed := map[string]bool{}
	for line := range strings.Lines(doc) {
		prefix, rest, ok := strings.Cut(strings.TrimPrefix(line, "| `"), "` | ")
		if !ok || !strings.HasPrefix(prefix, "weir_") || !strings.HasSuffix(prefix, "_") {
			continue
		}
		for _, word := range regexp.MustCompile("(by )?`([a-z_]+)`").FindAllStringSubmatch(rest, -1) {
			if word[1] == "" {
				listed[prefix+word[2]] = true
			}
		}
	}
	return listed
}

// dashboardQueries are all queries of docs/grafana.json, those of its variables
// included.
func dashboardQueries(t *testing.T) []string {
	t.Helper()
	var doc struct {
		Templating struct {
			List []struct{ Query string }
		}
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(text(t, "../docs/grafana.json")), &doc); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, v := range doc.Templating.List {
		list = append(list, v.Query)
	}
	for _, p := range doc.Panels {
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	return list
}
