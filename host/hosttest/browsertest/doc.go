// Package browsertest opens pages in Chromium for tests of what a person sees. It
// is for tests only.
//
// A browser has a profile of its own and ends with the test. Windows wait for
// conditions of the page, never for time. Without Chromium a test is skipped, and
// says so on the standard error, where nobody misses it.
package browsertest
