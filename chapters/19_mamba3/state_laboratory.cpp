// ## A laboratory of state {#mamba3_laboratory}
//
// What can a state remember that has to be *changed*, again and again, and never fades? The
// smallest such tasks are machines with a few states. A text is a token that starts the machine
// and tokens that move it, and after each token a model has to name the state:
//
// @quote src/demo/state_tasks.hpp#task
//
// ### Why a positive factor cannot {#mamba3_cannot}
//
// Take a text of ones only. In one layer of Mamba-2 every number of the state obeys $h' = e^a h +
// b$, and the token is always the same, so $a$ and $b$ are, too, once the convolution is filled.
// Then
//
// $$ h_{t+1} - h_t = e^a\, (h_t - h_{t-1}), $$ {#eq:mamba3_monotone}
//
// and $e^a$ is positive: each number goes on in the direction in which it went, for ever. What it
// reads can be read, but it cannot go up and down, and parity of ones only goes up and down. More
// layers help for a while, and so a model of Mamba-2 learns the lengths that it is trained on
// [@grazzi2024]. With a factor of $-1$, the difference changes its sign at each step. That is a
// half turn.
//
// ### Weights set by hand {#mamba3_hand}
//
// In Mamba-3 nothing has to be learnt to see that it can be done. The token that starts the text
// writes a 1 into the state. From then on nothing is written, and nothing decays. A token that
// moves the machine turns the state by a part of a circle: by $\pi$ for parity, by $2\pi / k$ to
// count modulo $k$. Two heads read the cosine and the sine of the angle, and the model's head
// compares them with the $k$ points of the circle:
//
// @quote src/demo/state_tasks.hpp#hand
//
// The triangle is another matter. To turn it and then to turn it over is not the same as the other
// way round, but turns of the plane commute. One layer cannot do it. Two can: the first counts the
// times that the triangle has been turned over, modulo 2. The second turns by a third, and its *raw
// angle* reads what the first has found, so that it turns the other way while the triangle lies on
// its face. The sign of an angle depends on the state of a layer below. That is all that the order
// of tokens needs here.
//
// Each model reads one text of random tokens, and is asked after every one:
//
// @output hand
//
// Nothing in this depends on the length but rounding. The angle is a sum, and its error grows with
// the number of turns; with sixteen digits it takes more tokens than anybody will feed it until it
// is a third of a turn.
//
// ### Weights that are learnt {#mamba3_learnt}
//
// Can such weights be found by training? The models are small: Mamba-2 has two layers of width 16,
// Mamba-3 one. Texts grow from 8 tokens to 64 while they learn, and one answer in ten that they are
// taught is drawn anew. That is no cruelty. A model that may not be sure of anything keeps its
// weights from growing to where it is right by being extreme, and has to find the turn itself.
//
// @quote src/demo/state_learner.hpp#training
//
// Afterwards each model reads texts of 512 tokens. How often is it right, at which places?
//
// ::: figure counting
// Right answers by the place in the text, for parity (left) and for counting modulo 3 (right),
// three seeds each. Up to place 64 the texts are as long as those that were learnt. Recorded, as in
// the table below. The dotted lines are chance.
// :::
//
// @recorded counting accuracy
//
// Mamba-2 is little better than chance even where it was trained: what it has above chance comes
// from the first few places. Mamba-3 learns the turn. All six models are right everywhere up to
// place 128, in texts twice as long as any that they have learnt, and two of them at all places
// there are. The other four are right for a while, and then they are *worse* than chance. For a
// turn that is learnt is off by a little, and after twice as many tokens by twice as much; in the
// end the state points to the wrong side. Nothing in a text of 64 tokens tells a thousandth of a
// turn from none. Weights set by hand do not drift.
//
// ::: tryit
// Can the triangle be learnt so, with two layers? `demo::triangle()` is a task like the others.
// :::
