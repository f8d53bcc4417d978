package main

import weir "weir/plugins/guest"

func init() {
	weir.Plugin("posters", "1.0.0")
	weir.Query("posters.mine", mine, weir.SignedIn(), weir.Doc("The caller's posters, the newest first."))
	weir.Query("posters.picture", picture, weir.SignedIn(), weir.Doc("A painted poster of the caller."))
	weir.Mutation("posters.order", weir.Func(order), weir.SignedIn(), weir.Uses(create))
	weir.Mutation("posters.publish", weir.Func(publish), weir.SignedIn(), weir.Uses(painted, begin, drive))
	weir.Mutation("posters.answer", weir.Func(answer), weir.SignedIn(), weir.Uses(approve, decline, drive))
	weir.Mutation("posters.cancel", cancel, weir.SignedIn())
	weir.Mutation("posters.discard", discard, weir.SignedIn())
}

func main() {}
