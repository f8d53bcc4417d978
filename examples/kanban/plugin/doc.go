// Command plugin is the board's plugin: boards of the caller, the cards of one with
// filters, and the mutations that move them.
//
//	boards.list      the caller's boards with their members, nested
//	cards.list       the cards of a board in order, filtered; for members
//	cards.archived   the newest cards that were put away; for members
//	cards.add        a card at the end of a list, with an id of the client's
//	cards.edit       some of a card's title, note, label and assignee
//	cards.move       a card behind another one, in any list of its board
//	cards.archive    a card away, or back
//	member           the policy: a row in members allows, and is live itself
//
// # Promises
//
//   - Nobody reads or writes a board without being its member now; a card of
//     another board is as good as none.
//   - A move says behind which card, not at which number: two people who move at
//     once leave an order that both see.
//   - Every mutation may be sent twice.
//
// # What it does not do
//
// It makes no boards and invites nobody; add that as a first exercise.
package main
