/** Random numbers that a seed repeats: splitmix32. */
export class Rng {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  u32(): number {
    this.state = (this.state + 0x9e3779b9) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }

  below(limit: number): number {
    return Math.floor((this.u32() / 4294967296) * limit)
  }

  chance(part: number): boolean {
    return this.u32() < part * 4294967296
  }

  pick<T>(from: readonly T[]): T {
    const value = from[this.below(from.length)]
    if (value === undefined) throw new RangeError('nothing to pick from')
    return value
  }
}
