package abi

// The standard library's encoding/base64 would bring reflect into every guest.

const base64Digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// appendBase64 appends the bytes of s in the standard alphabet with padding.
func appendBase64(dst []byte, s string) []byte {
	for len(s) >= 3 {
		u := uint(s[0])<<16 | uint(s[1])<<8 | uint(s[2])
		dst = append(dst, base64Digits[u>>18], base64Digits[u>>12&63], base64Digits[u>>6&63], base64Digits[u&63])
		s = s[3:]
	}
	switch len(s) {
	case 1:
		u := uint(s[0]) << 4
		dst = append(dst, base64Digits[u>>6], base64Digits[u&63], '=', '=')
	case 2:
		u := uint(s[0])<<10 | uint(s[1])<<2
		dst = append(dst, base64Digits[u>>12], base64Digits[u>>6&63], base64Digits[u&63], '=')
	}
	return dst
}

// parseBase64 is the inverse. Line breaks, missing padding and stray bits are
// refused, so that different texts never mean the same bytes.
func parseBase64(s string) ([]byte, bool) {
	if len(s)%4 != 0 {
		return nil, false
	}
	dst := make([]byte, 0, len(s)/4*3)
	for ; s != ""; s = s[4:] {
		n := 4 // digits of this group
		if len(s) == 4 && s[3] == '=' {
			if n = 3; s[2] == '=' {
				n = 2
			}
		}
		var u uint
		for i := range n {
			d := base64Digit(s[i])
			if d > 63 {
				return nil, false
			}
			u |= d << (18 - 6*i)
		}
		for i := range n - 1 {
			dst = append(dst, byte(u>>(16-8*i)))
		}
		if u&(1<<(32-8*n)-1) != 0 && n < 4 {
			return nil, false
		}
	}
	return dst, true
}

func base64Digit(c byte) uint {
	switch {
	case c >= 'A' && c <= 'Z':
		return uint(c - 'A')
	case c >= 'a' && c <= 'z':
		return uint(c-'a') + 26
	case c >= '0' && c <= '9':
		return uint(c-'0') + 52
	case c == '+':
		return 62
	case c == '/':
		return 63
	}
	return 64
}
