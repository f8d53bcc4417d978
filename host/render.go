package host

import (
	"fmt"

	"weir/abi"
	"weir/host/db"
	"weir/host/tenant"
	"weir/host/wasm"
)

// content appends the JSON members of a result, as they stand in a frame.
func appendRows(dst []byte, key []string, rows *db.Rows, max int) ([]byte, error) {
	dst = appendKey(dst, key)
	dst = append(dst, `"rows":`...)
	start := len(dst)
	dst = rows.AppendJSON(dst)
	return dst, within(len(dst)-start, max)
}

// appendView appends the rows that a guest chose.
func appendView(dst []byte, key []string, view *wasm.View, max int) ([]byte, error) {
	dst = appendKey(dst, key)
	return view.AppendJSON(append(dst, `"rows":`...), max)
}

// appendValue appends a value that a guest computed.
func appendValue(dst, value []byte, max int) ([]byte, error) {
	v, err := abi.DecodeCBOR(value)
	if err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	dst = append(dst, `"value":`...)
	start := len(dst)
	dst = v.AppendJSON(dst)
	return dst, within(len(dst)-start, max)
}

func appendKey(dst []byte, key []string) []byte {
	if len(key) == 0 {
		return dst
	}
	dst = append(dst, `"key":[`...)
	for i, name := range key {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = abi.Text(name).AppendJSON(dst)
	}
	return append(dst, "],"...)
}

func within(size, max int) error {
	if size > max {
		return fmt.Errorf("%w: %d bytes, the limit is %d", tenant.ErrResultTooLarge, size, max)
	}
	return nil
}
