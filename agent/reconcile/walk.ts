import type { DeltaView } from './delta.ts'
import type { Target } from './target.ts'

/** Keys that are read one by one at a stretch. */
const AT_A_STRETCH = 500

/**
 * Compares what a big target holds with what is believed to be there: each step reads some of it and takes it over, and
 * returns in how many entries the two differed. Undefined when the two cannot do that.
 *
 * Others may write to the target through the same delta between two steps, never within one. A scan of the same delta that
 * is begun later ends this one.
 */
export function walk<V>(target: Target<V>, delta: DeltaView<V>): Generator<number> | undefined {
  if (target.pieces === undefined || target.read === undefined || delta.scan === undefined) return undefined
  return steps(target as WalkTarget<V>, delta as WalkDelta<V>)
}

type WalkTarget<V> = Required<Pick<Target<V>, 'pieces' | 'read'>>
type WalkDelta<V> = Required<Pick<DeltaView<V>, 'scan' | 'wasDeleted'>>

function* steps<V>(target: WalkTarget<V>, delta: WalkDelta<V>): Generator<number> {
  const scan = delta.scan()
  for (const entries of target.pieces()) {
    yield scan.found(entries)
    if (!scan.current) return
  }
  for (const keys of scan.missing()) {
    for (let from = 0; from < keys.length; from += AT_A_STRETCH) {
      let drift = 0
      for (const key of keys.slice(from, from + AT_A_STRETCH)) {
        const entry = target.read(key)
        drift += entry === undefined ? gone(delta, key) : scan.found([entry])
      }
      yield drift
      if (!scan.current) return
    }
  }
}

function gone<V>(delta: WalkDelta<V>, key: string): number {
  delta.wasDeleted(key)
  return 1
}
