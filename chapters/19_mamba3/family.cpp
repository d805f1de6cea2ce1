// ## The family on one page {#mamba3_family}
//
// We have come a long way from a bucket with a hole. All models on the way, and some beside it, are
// of one form. A head keeps a state $S$, a matrix of a value's $P$ numbers by a key's $N$. A step
// does something to the state, adds what comes in, and reads with a query, $y_t = S_t\, q_t$. In
// this book's letters $q$ is $C$, $k$ is $B$, and $v$ is $\Delta x$. What differs is the step.
//
// | model | $S_t =$ | what a step can do to the state |
// |:--|:--|:--|
// | linear attention [@katharopoulos2020] | $S_{t-1} + v_t k_t^\top$ | nothing: all that came in stays |
// | RetNet [@sun2023] | $\gamma\, S_{t-1} + v_t k_t^\top$ | let it fade, always at the head's own pace |
// | S4D [@gu2022s4d] | $S_{t-1} \odot \bar A + x_t \bar B^\top$, $\bar A$ complex | fade and turn, each number at its own pace, the same at all times |
// | Mamba-1 [@gu2023] | $S_{t-1} \odot e^{\Delta_t A} + (\Delta_t x_t)\, B_t^\top$ | fade as the token says, each number at a pace of its own |
// | GLA [@yang2024] | $S_{t-1}\, \diag(\alpha_t) + v_t k_t^\top$ | fade as the token says, each column at its own pace |
// | **Mamba-2** [@dao2024] | $e^{a_t} S_{t-1} + v_t k_t^\top$ | fade as the token says, as a whole |
// | gated delta rule [@yang2025] | $\alpha_t\, S_{t-1} (I - \eta_t k_t k_t^\top) + \eta_t v_t k_t^\top$ | fade as a whole, and take away what stood at this key before the new value comes |
// | **Mamba-3** [@lahoti2026] | $e^{a_t} S_{t-1} R_t + \beta_t v_{t-1} k_{t-1}^\top R_t + \gamma_t v_t k_t^\top$, $R_t$ turns pairs | fade as a whole, and turn as the token says |
//
// (In linear attention and RetNet as they were published, keys and queries also pass through
// functions or rotations of their own, and outputs are divided by sums or norms; here only the
// state counts. What is $\eta$ here is called $\beta$ there.) How is such a step computed for many
// tokens at once, and what follows for what the model can do?
//
// | model | in chunks | rewrite one entry? | count without end? |
// |:--|:--|:--|:--|
// | linear attention | products, with a mask of ones | no | no |
// | RetNet | products, with a fixed mask | no | no |
// | S4D | a convolution, by FFT (@chapter{s4}) | no | what does not depend on the token: it turns like a clock |
// | Mamba-1 | nothing to share: a scan (@chapter{selection}) | no | no |
// | GLA | products between chunks, care inside | no | no |
// | Mamba-2 | products, with a mask (@chapter{chunked_scan}) | no | no |
// | gated delta rule | products and the inverse of a small triangle | yes | parity, if $\eta$ may exceed 1 [@grazzi2024] |
// | Mamba-3 | Mamba-2's products, with other inputs | no | yes, in one layer whatever commutes |
//
// Two ideas are at work here, and they pull in different directions. A state that is to hold many
// things must not disturb what it holds, and be able to let go of one of them: that is the delta
// rule's idea. A state that is to follow something that changes must be able to move without
// fading: that is the turn's. Both cost a little more than to fade, and both stay within a few
// products of matrices per chunk, which is what made Mamba-2 fast.
//
// And in a sentence each: **S4** found a recurrence that remembers for long and computed it as a
// convolution. **Mamba-1** let the token decide what is kept, and gave up the convolution for it.
// **Mamba-2** let all numbers of a head fade together, and won back the products of matrices.
// **Mamba-3** lets the state turn, takes a better rule for what comes in, and gives the processor
// more to do for each number that it fetches.
