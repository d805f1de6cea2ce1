// # Fewer bytes {#ch_fewer_bytes}
// @summary Weights of two bytes and of one: what rounding them costs, how they are multiplied, and a model that is made of them.
//
// A model that writes reads all its weights for every token, and does little else: @chapter{fast}
// came as near as it could to the speed of the memory, and no cleverness gets past that, except
// reading less. So the large weights are stored in fewer bytes. Nothing is free: each weight is
// rounded, and this chapter is about how, what the rounding does to a result, and how numbers that
// no processor calculates with are multiplied all the same.
//
// It is a choice, and it is made once: a model with weights in fewer bytes is of another type. It
// can be asked whatever a model can be asked. It cannot be trained, since steps smaller than the
// rounding would be lost, and it cannot be saved, since what was rounded away would be lost for
// good.
//
// ## What it builds on {#fewer_bytes_builds_on}
//
// @Chapter{language_model} for half precision and for the model, whose weights are an interface
// since @chapter{mamba2_block}; @chapter{fast} for the loop that reads a weight once, the products
// of many tokens, the threads, and the limits that everything is held against. The program reads a
// page with the tokenizer of @chapter{text}, in rows as @chapter{training} does.
//
// ## Shapes {#fewer_bytes_shapes}
//
// ::: shapes
// | name | shape | what it is |
// |---|---|---|
// | $W$ | (d_out, d_in) | a weight, in bfloat16 or in whole numbers of one byte |
// | `scale` | (d_out) | for whole numbers: what a row of them is multiplied by |
// | `x` | (tokens, d_in) | a few tokens, or many |
// | `y` | (tokens, d_out) | their products with the weight |
// :::
//
// ## What it buys {#fewer_bytes_buys}
//
// For a single token nothing counts but bytes. This is what a step of the 130M model reads and
// writes:
//
// @output bytes
//
// Divided by the read bandwidth of a machine that is its limit, in tokens per second. Measured on
// the machine that made these pages, on a single large weight, beside the same in float:
//
// ::: figure fewer
// Products of a weight of 67 million numbers with one token, per second, all threads. The dashed
// line is how often that many floats can be read.
// :::
//
// @measured reading
//
// And a whole model, half of the 130M one, its prompt beside the product peak for weights of the
// type, its writing beside the read bandwidth:
//
// ::: figure types
// Tokens per second, as a share of the limit for as many threads and weights of that type. Beside
// each bar: the tokens per second. (A bar can pass the line a little: the limit is a measurement as
// well, and of small weights a part may stay in the cache from token to token.)
// :::
//
// Eight sequences written together do not gain as much. Each has states of its own to read and
// write, and those stay floats: the fewer bytes the weights take, the more the states count, as the
// last lines of the first table say.
//
// ## Two formats {#fewer_bytes_formats}
//
// Only four matrices are worth it, as they are all but two thousandths of the 130M model: the two
// projections of each block, the embedding and the head. Everything else stays as it is.
//
// *bfloat16* is the upper half of a float: eight bits of precision instead of twenty-four, in half
// the memory. Each weight is rounded once, by at most one part in 256. Large weights and small ones
// lose the same share.
//
// *int8* is a whole number from −127 to 127, and a scale for each row of the weight, chosen so that
// the largest weight of the row just fits:
//
// $$ W_{rj} \approx s_r \, q_{rj}, \qquad s_r = \frac{\max_j |W_{rj}|}{127}, \qquad
//    |W_{rj} - s_r q_{rj}| \le \tfrac12 s_r . $$ {#eq:int8}
//
// A quarter of the memory. Here the rounding is a share of the row's *largest* weight, the same for
// its small weights as for its large ones. So one weight that sticks out makes all others of its
// row coarse.
//
// ::: figure outlier
// A row of 1024 weights of size 1, one of which is made larger. The lines show how far the product
// of the rounded row with a token is from the exact one, beside the size of the product without the
// large weight.
// :::
//
// Published models have such weights; random ones, as in the program below, have none. A smaller
// group of weights for each scale keeps the harm inside the group. @exercise{3} does that, with
// weights of half a byte.
//
// Is the rounding too much? A model averages over many weights, and their roundings point in all
// directions. What counts is what becomes of its predictions. Here is the book's own model
// (@chapter{training}) on a page that it has not seen. Its weights are bfloat16 already, so that
// format changes nothing; a byte for each weight moves the scores:
//
// @output rounding
//
// The scores move by less than a hundredth of their size, in all directions, and the text needs no
// more bits than before, to three digits.
//
// For a given model the price is a matter of its weights, and worth a look before one relies on it:
// `mamba2 score --dtype int8` tells it for any text.

#include <mamba2/weight_type.hpp>

namespace mamba2 {

std::size_t bytes_of(WeightType type) {
  if (type == WeightType::full) return 4;
  return type == WeightType::bfloat16 ? 2 : 1;
}

const char* name_of(WeightType type) {
  if (type == WeightType::full) return "float32";
  return type == WeightType::bfloat16 ? "bfloat16" : "int8";
}

}  // namespace mamba2
