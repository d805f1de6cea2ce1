/// \file mixer.hpp
/// \brief Mixers of any kind behind one interface: what they compute, what they remember. Explained in @chapter{language_model}.
#pragma once

#include <mamba2/error.hpp>
#include <mamba2/mixer_input.hpp>
#include <mamba2/operations.hpp>
#include <mamba2/tensor.hpp>

#include <algorithm>
#include <any>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace mamba2 {

/// \brief One of the tensors of a cache, by reference.
/// \tparam Value float or double, const where it is only read
template <class Value>
struct StateRef {
  std::string name;                ///< such as "ssm_state"
  std::vector<std::size_t> shape;  ///< the sequences first
  std::span<Value> values;         ///< the last axis runs fastest
};

/// \brief What a mixer remembers of the tokens it has seen.
template <class Real>
class MixerCache {
 public:
  MixerCache() = default;
  MixerCache(const MixerCache&) = delete;
  MixerCache& operator=(const MixerCache&) = delete;
  virtual ~MixerCache() = default;

  /// \brief A cache of the same mixer that has seen nothing. \param batch how many sequences \return the cache
  virtual std::unique_ptr<MixerCache> like(std::size_t batch) const = 0;
  /// \brief Take over what another cache remembers of a sequence.
  /// \param row      a sequence of this cache
  /// \param from     another cache of the same mixer
  /// \param from_row a sequence of that one
  virtual void take(std::size_t row, const MixerCache& from, std::size_t from_row) = 0;
  /// \brief The tensors that are remembered. \return references, in an order that does not change
  virtual std::vector<StateRef<Real>> states() = 0;
};

//: mixer
/// \brief A mixer as it computes, of whatever kind. It refers to parameters that somebody else holds.
template <class Real>
class Mixer {
 public:
  Mixer() = default;
  Mixer(const Mixer&) = delete;
  Mixer& operator=(const Mixer&) = delete;
  virtual ~Mixer() = default;

  /// \brief A whole piece of text at once, of any length.
  /// \param input      the tokens
  /// \param cache      what came before on entry, the tokens included on return; null: nothing did, and nothing will
  /// \param operations what to compute with
  /// \param keep       receives the tensors in between, of a type of the mixer's own; null: they are dropped
  /// \param y          receives the outputs, (batch * seqlen, d_model)
  /// \throws ShapeError, ValueError for a cache of another batch or mixer
  virtual void forward(const MixerInput<Real>& input, MixerCache<Real>* cache, const Operations<Real>& operations,
                       std::any* keep, MatrixRef<Real> y) const = 0;
  /// \brief One token: the same as forward() with one more token, up to rounding. After the first no memory is set aside.
  /// \param u          the token of each sequence, (batch, d_model)
  /// \param cache      what came before on entry, the token included on return
  /// \param operations what to compute with
  /// \param y          receives the outputs, (batch, d_model)
  /// \throws ShapeError, ValueError for a cache of another batch or mixer
  virtual void step(MatrixRef<const Real> u, MixerCache<Real>& cache, const Operations<Real>& operations,
                    MatrixRef<Real> y) const = 0;
  /// \brief A cache that has seen nothing. \param batch how many sequences \return the cache
  virtual std::unique_ptr<MixerCache<Real>> empty_cache(std::size_t batch) const = 0;
};
//: end

/// \brief A cache of some kind as one of any kind.
/// \tparam Cache such as Mamba2Cache<Real>: a struct with tensors() whose first axes are the sequences, and their names()
template <class Real, class Cache>
class CacheOf final : public MixerCache<Real> {
 public:
  /// \brief Of nothing yet. \param c the cache
  explicit CacheOf(Cache c) : cache(std::move(c)) {}

  std::unique_ptr<MixerCache<Real>> like(std::size_t batch) const override {
    auto other = std::make_unique<CacheOf>(Cache());
    each(std::as_const(cache), other->cache, [&](const auto& mine, auto& its) {
      auto shape = mine.shape();
      shape[0] = batch;
      its = std::decay_t<decltype(its)>(shape, Real(0));
    });
    return other;
  }
  void take(std::size_t row, const MixerCache<Real>& from, std::size_t from_row) override {
    const auto* const other = dynamic_cast<const CacheOf*>(&from);
    require(other != nullptr, "cache", "one of the same mixer", "another");
    each(other->cache, cache, [&](const auto& its, auto& mine) {
      const std::size_t size = its.size() / its.shape(0);
      std::copy_n(its.data() + from_row * size, size, mine.data() + row * size);
    });
  }
  std::vector<StateRef<Real>> states() override {
    std::vector<StateRef<Real>> all;
    const auto names = Cache::names();
    std::apply(
        [&](auto&... tensors) {
          (all.push_back(
               {names[all.size()], {tensors.shape().begin(), tensors.shape().end()}, {tensors.data(), tensors.size()}}),
           ...);
        },
        Cache::tensors(cache));
    return all;
  }

  Cache cache;  ///< what it is

 private:
  template <class From, class To, class Visitor>
  static void each(From& from, To& to, const Visitor& visit) {
    std::apply([&](auto&... a) { std::apply([&](auto&... b) { (visit(a, b), ...); }, Cache::tensors(to)); },
               Cache::tensors(from));
  }
};

/// \brief A mixer of some kind as one of any kind.
/// \tparam Computes such as Mamba2Mixer<Real>: with types Cache and Activations, and functions forward(), step() and empty_cache()
template <class Real, class Computes>
class MixerOf final : public Mixer<Real> {
 public:
  using Cache = typename Computes::Cache;              ///< what it remembers
  using Activations = typename Computes::Activations;  ///< what it keeps for gradients

  /// \brief A mixer. \param arguments what it is made from
  template <class... Arguments>
  explicit MixerOf(Arguments&&... arguments) : mixer_(std::forward<Arguments>(arguments)...) {}

  void forward(const MixerInput<Real>& input, MixerCache<Real>* cache, const Operations<Real>& operations,
               std::any* keep, MatrixRef<Real> y) const override {
    Activations activations;
    mixer_.forward(input, cache ? &own(*cache) : nullptr, operations, activations, y);
    if (keep) *keep = std::move(activations);
  }
  void step(MatrixRef<const Real> u, MixerCache<Real>& cache, const Operations<Real>& operations,
            MatrixRef<Real> y) const override {
    mixer_.step(u, own(cache), operations, y);
  }
  std::unique_ptr<MixerCache<Real>> empty_cache(std::size_t batch) const override {
    return std::make_unique<CacheOf<Real, Cache>>(mixer_.empty_cache(batch));
  }

 private:
  static Cache& own(MixerCache<Real>& cache) {
    auto* const mine = dynamic_cast<CacheOf<Real, Cache>*>(&cache);
    if (mine == nullptr) throw ValueError("cache: expected one of this mixer, got one of another");
    return mine->cache;
  }
  Computes mixer_;
};

}  // namespace mamba2
