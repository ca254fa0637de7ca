package fleet

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table returns the numbers as text of up to 80 columns: one row for each model
// and another for its kinds of device, then a sentence that names the
// population.
func (r Report) Table() string {
	all := [][]string{{"model", "codes", "refused %", "later", "later %", "stranded"}}
	kind := [][]string{{"", "phones", "", "hand", "", "tokens", ""},
		{"model", "codes", "refused %", "codes", "refused %", "codes", "refused %"}}
	for _, x := range r.Results {
		all = append(all, []string{x.Model, mean(x.All), refused(x.All), strconv.Itoa(x.All.Resynchronized),
			percent(x.All.ResynchronizedPercent()), strconv.Itoa(x.All.StrandedUsers)})
		row := []string{x.Model}
		for _, t := range x.Kinds {
			row = append(row, mean(t), refused(t))
		}
		kind = append(kind, row)
	}
	return aligned(all) + "\n" + aligned(kind) + "\n" + legend + r.sentence() + "\n"
}

const legend = `codes: acceptable at a login, on average; refused: at the first try;
later: in after more codes; stranded: people who did not get in at least once.
`

// sentence says which population it was.
func (r Report) sentence() string {
	s, t := r.Settings, r.all()
	var mix []string
	for k, share := range s.Mix {
		mix = append(mix, fmt.Sprintf("%.4g %% %s", 100*share/s.Mix.total(), Kind(k)))
	}
	return fmt.Sprintf("%s logins of %s people in %.4g years: %s,\nmean gaps of %.4g to %.4g days, seed %d.",
		grouped(t.Logins), grouped(t.Users), s.Years, strings.Join(mix, ", "), s.MinGap, s.MaxGap, s.Seed)
}

func mean(t Tally) string    { return dash(t, strconv.FormatFloat(t.MeanCodes(), 'f', 2, 64)) }
func refused(t Tally) string { return dash(t, percent(t.RefusedPercent())) }

func percent(x float64) string { return strconv.FormatFloat(x, 'f', 3, 64) }

// dash returns text, or "-" where there was no login to speak of.
func dash(t Tally, text string) string {
	if t.Logins == 0 {
		return "-"
	}
	return text
}

// grouped writes n with commas between thousands.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// aligned returns rows with the first column to the left and the others to the
// right.
func aligned(rows [][]string) string {
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}
