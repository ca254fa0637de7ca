package tokenfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// csvColumns are the columns of a list of users, by the names that each may
// have.
var csvColumns = map[string]string{
	"user": "user", "login": "user", "uid": "user",
	"key": "key", "secret": "key",
	"serial": "serial", "digits": "digits", "period": "period", "algorithm": "algorithm",
}

// readCSV reads a list whose first row names its columns. A row without a key
// asks for a new one.
func readCSV(data []byte, _ Options) ([]Token, error) {
	var tokens batch
	var columns []string
	err := rows(data, 0, 0, func(line int, row []string) error {
		if columns == nil {
			var err error
			columns, err = header(row, csvColumns)
			return err
		}
		cell := named(columns, row)
		t := Token{User: strings.Clone(cell["user"]), Serial: strings.Clone(cell["serial"]), Line: line}
		t.setKey(cell["key"], fromBase32)
		t.setAlgorithm(cell["algorithm"])
		t.setDigits(cell["digits"])
		t.setPeriod(cell["period"])
		return tokens.add(t)
	})
	if err == nil && columns == nil {
		err = errors.New("it has no row that names the columns")
	}
	return tokens, err
}

// header returns the column of each cell of the first row. It does not quote
// them: without a header the first row is somebody's key.
func header(row []string, known map[string]string) ([]string, error) {
	columns := make([]string, len(row))
	for i, name := range row {
		column := known[strings.ToLower(name)]
		switch {
		case column == "":
			return nil, fmt.Errorf("the name of column %d is none of %s", i+1, strings.Join(names(known), ", "))
		case slices.Contains(columns, column):
			return nil, fmt.Errorf("column %d is a second %q", i+1, column)
		}
		columns[i] = column
	}
	return columns, nil
}

func names(known map[string]string) []string {
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// named returns the cells of row by column.
func named(columns, row []string) map[string]string {
	cells := make(map[string]string, len(columns))
	for i, column := range columns {
		cells[column] = row[i]
	}
	return cells
}

// rows calls take with every row of data (RFC 4180), its cells without spaces
// around them, and the line that it begins in. Rows without any text are left
// out. Comment is the character that begins a comment line, or 0; width is the
// number of cells that each row must have, 0 for as many as the first, -1 for
// any. The cells share memory with their row: what is kept must be cloned.
func rows(data []byte, comment rune, width int, take func(line int, row []string) error) error {
	source := newRation(data)
	r := csv.NewReader(source)
	r.Comma, r.Comment, r.FieldsPerRecord = separator(firstLine(data)), comment, width
	r.TrimLeadingSpace, r.ReuseRecord = true, true
	for {
		source.refill()
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return csvError(err)
		}
		for i, c := range row {
			row[i] = strings.TrimSpace(c)
		}
		line, _ := r.FieldPos(0)
		if strings.Join(row, "") == "" {
			continue
		}
		if err := take(line, row); err != nil {
			return at(line, err)
		}
	}
}

// csvError says the same as the library's error, which quotes nothing, in the
// form of the others.
func csvError(err error) error {
	if parse := (*csv.ParseError)(nil); errors.As(err, &parse) {
		return at(parse.Line, parse.Err)
	}
	return err
}

// separator is the semicolon where a spreadsheet put it, else the comma.
func separator(line string) rune {
	if strings.Count(line, ";") > strings.Count(line, ",") {
		return ';'
	}
	return ','
}

// lines calls take with every line of data that is neither blank nor a comment.
func lines(data []byte, take func(num int, line string) error) error {
	num := 0
	for raw := range bytes.Lines(data) {
		num++
		line := bytes.TrimSpace(raw)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if len(line) > maxRecord {
			return at(num, errRecord)
		}
		if err := take(num, string(line)); err != nil {
			return at(num, err)
		}
	}
	return nil
}
