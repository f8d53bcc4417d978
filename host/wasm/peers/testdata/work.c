// A guest that computes, without a library: built with
// clang --target=wasm32 -O2 -nostdlib -Wl,--no-entry -Wl,--export=work
typedef unsigned u32;
typedef unsigned char u8;

static u32 numbers[4000], list[4000], seed = 1;
static u8 text[12000], copy[12000];
static double a[48][48], b[48][48], c[48][48];

static u32 next(void) { return (seed = seed * 1664525 + 1013904223) >> 8; }

// fill makes the data, the same each time.
static void fill(void) {
	seed = 1;
	for (u32 i = 0; i < 4000; i++) numbers[i] = next();
	for (u32 i = 0; i < sizeof text; i++) text[i] = "{\"id\":123,\"body\":\"some words\"},"[i % 31];
}

static void sort(u32 *v, int n) {
	if (n < 2) return;
	u32 pivot = v[n / 2];
	int i = 0, j = n - 1;
	for (;; i++, j--) {
		while (v[i] < pivot) i++;
		while (v[j] > pivot) j--;
		if (i >= j) break;
		u32 t = v[i];
		v[i] = v[j];
		v[j] = t;
	}
	sort(v, i);
	sort(v + i, n - i);
}

static u32 rotate(u32 x, int n) { return x >> n | x << (32 - n); }

// hash mixes as a cryptographic hash does: no branches, all in locals.
static u32 hash(void) {
	u32 h[4] = {1, 2, 3, 4};
	for (u32 i = 0; i + 16 <= sizeof text; i += 16) {
		u32 *w = (u32 *)(text + i);
		for (int r = 0; r < 16; r++) {
			h[0] += (h[1] & h[2]) ^ (~h[1] & h[3]);
			h[0] = rotate(h[0] + w[r & 3], 7);
			u32 t = h[3];
			h[3] = h[2], h[2] = h[1], h[1] = h[0], h[0] = t;
		}
	}
	return h[0] ^ h[1] ^ h[2] ^ h[3];
}

// tokens looks at each byte, as a parser does.
static u32 tokens(void) {
	u32 n = 0, depth = 0, quoted = 0;
	for (u32 i = 0; i < sizeof text; i++) {
		u8 ch = text[i];
		if (quoted) {
			if (ch == '"') quoted = 0;
			continue;
		}
		switch (ch) {
		case '"': quoted = 1, n++; break;
		case '{': case '[': depth++; break;
		case '}': case ']': depth--; break;
		case ',': n += depth; break;
		default: if (ch >= '0' && ch <= '9') n += ch - '0';
		}
	}
	return n;
}

static u32 copies(void) {
	for (u32 i = 0; i < 400; i++) __builtin_memcpy(copy + i * 16, text + i * 8, 16 + (i & 63));
	return copy[77];
}

__attribute__((noinline)) static u32 fibonacci(u32 n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

static u32 matrix(void) {
	for (int i = 0; i < 48; i++)
		for (int j = 0; j < 48; j++) a[i][j] = i + j, b[i][j] = i - j, c[i][j] = 0;
	for (int i = 0; i < 48; i++)
		for (int j = 0; j < 48; j++)
			for (int k = 0; k < 48; k++) c[i][j] += a[i][k] * b[k][j];
	return (u32)(int)c[3][4];
}

static u32 sum(void) {
	u32 n = 0;
	for (u32 i = 0; i < 100000; i++) {
		n ^= i;
		__asm__ volatile("" : "+r"(n));
	}
	return n;
}

u32 work(u32 kind) {
	if (!seed || numbers[0] == 0) fill();
	switch (kind) {
	case 0:
		for (int i = 0; i < 4000; i++) list[i] = numbers[i];
		sort(list, 4000);
		return list[7];
	case 1: return hash();
	case 2: return tokens();
	case 3: return copies();
	case 4: return fibonacci(20);
	case 5: return matrix();
	default: return sum();
	}
}
