package metrics

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"lockstep/internal/testenv"
)

const (
	dashboard = "../../packaging/grafana/lockstep.json"
	rulesDir  = "../../packaging/prometheus"
)

// names returns all names that an expression can have.
func names(t *testing.T) []string {
	t.Helper()
	s := newSet(whole)
	s.Show([]string{"vpn"})
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := []string{"up"}
	for _, f := range families {
		all = append(all, f.GetName())
		if f.GetType().String() == "HISTOGRAM" {
			all = append(all, f.GetName()+"_bucket", f.GetName()+"_count", f.GetName()+"_sum")
		}
	}
	return all
}

var metricName = regexp.MustCompile(`\b(?:lockstep|process|go)_[a-z0-9_]+\b`)

// used returns the names in a text, and fails for those that there are not.
func used(t *testing.T, known []string, text string) (all []string) {
	t.Helper()
	for _, name := range metricName.FindAllString(text, -1) {
		if !slices.Contains(known, name) {
			t.Errorf("there is no metric %s, as in %s", name, text)
		}
		all = append(all, name)
	}
	return all
}

func TestDashboardShowsWhatThereIs(t *testing.T) {
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title  string
		Panels []struct {
			ID      int
			Type    string
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	known, shown, ids := names(t), []string(nil), map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" || (p.Type != "row") != (len(p.Targets) > 0) {
			t.Errorf("panel %d, %q: no title or target of its own", p.ID, p.Title)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			found := used(t, known, target.Expr)
			if len(found) == 0 {
				t.Errorf("panel %q: %s shows nothing", p.Title, target.Expr)
			}
			shown = append(shown, found...)
		}
	}
	for _, v := range d.Templating.List {
		used(t, known, v.Definition)
	}
	if len(shown) < 30 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
	if promtool, err := exec.LookPath("promtool"); err == nil {
		checkExpressions(t, promtool, string(text))
	}
}

// checkExpressions has promtool parse all expressions of the dashboard, as rules.
func checkExpressions(t *testing.T, promtool, text string) {
	t.Helper()
	rules := "groups:\n- name: dashboard\n  rules:\n"
	for _, m := range regexp.MustCompile(`"expr": ("(?:[^"\\]|\\.)*")`).FindAllStringSubmatch(text, -1) {
		expr := strings.NewReplacer("$__rate_interval", "5m").Replace(m[1]) // JSON strings are YAML
		rules += "  - {record: x, expr: " + expr + "}\n"
	}
	file := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(promtool, "check", "rules", "--lint=none", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestAlertsAreOfWhatThereIs(t *testing.T) {
	known := names(t)
	for _, file := range []string{"alerts.yml", "alerts_test.yml"} {
		text, err := os.ReadFile(rulesDir + "/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, comment := strings.CutPrefix(strings.TrimSpace(line), "#"); !comment && rest != "" {
				used(t, known, line)
			}
		}
	}
}

func TestAlertsFire(t *testing.T) {
	t.Parallel()
	promtool := testenv.Tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"test", "rules", "alerts_test.yml"}} {
		cmd := exec.Command(promtool, args...)
		cmd.Dir = rulesDir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// The names and help texts are as Prometheus wants them.
func TestNamesAreWell(t *testing.T) {
	t.Parallel()
	promtool := testenv.Tool(t, "promtool")
	s := newSet(whole)
	s.Show([]string{"vpn"})
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(scrape(t, s))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Every alert has a case that makes it fire.
func TestEveryAlertIsTried(t *testing.T) {
	rules, err := os.ReadFile(rulesDir + "/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tried, err := os.ReadFile(rulesDir + "/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`- alert: (\w+)`).FindAllStringSubmatch(string(rules), -1) {
		if !strings.Contains(string(tried), `alertname="`+m[1]+`"`) {
			t.Errorf("%s is never tried", m[1])
		}
	}
}
