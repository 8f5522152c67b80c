/** Milliseconds on a clock that all processes of the machine share and nothing steps. */
export function monotonic(): number {
  return Number(process.hrtime.bigint() / 1000n) / 1000
}
