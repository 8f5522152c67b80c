/** The middle value; the mean of the two middle ones of an even number. NaN of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/** What each of several things costs, measured in turn: one sample per round and thing. */
export type Samples<K extends string> = Readonly<Record<K, readonly number[]>>

/**
 * Runs everything once per round, so that whatever the machine does meanwhile meets all alike. Every second round goes
 * backwards: what the one before leaves in caches is then not always the same one's advantage.
 */
export async function interleave<K extends string>(
  rounds: number,
  things: Readonly<Record<K, () => number | Promise<number>>>,
): Promise<Samples<K>> {
  const names = Object.keys(things) as K[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<K, number[]>
  for (let round = 0; round < rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) samples[name].push(await things[name]())
  }
  return samples
}

/** Median over the rounds of one thing's cost by another's of the same round. */
export function ratio(ours: readonly number[], floor: readonly number[]): number {
  return median(ours.map((value, round) => value / floor[round]!))
}

/** CPU time of this process in milliseconds, user and system. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
