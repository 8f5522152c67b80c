import type { Node } from './node.ts'
import { Rng } from './rng.ts'
import { type Report, Run, type Sequence, type Step } from './sequence.ts'

const STEPS = 48
/** A sequence that a second went by in is run again: so often, then the machine is too slow for it. */
const ATTEMPTS = 50
const SHRINK_RUNS = 3000
/** Where the programs choose at random, a failure may need several goes. */
const REPEATS = 3

export interface Progress {
  readonly frames: number
  readonly failure: string | undefined
}

export function sequenceOf(seed: number): Sequence {
  const rng = new Rng(seed)
  const scene = rng.u32()
  return { seed: scene, steps: Array.from({ length: STEPS }, () => ({ seed: rng.u32(), without: [] })) }
}

/** Frames until there are as many, or until one does not do what the model says: that sequence, as short as it gets. */
export function fuzz(node: Node, seed: number, frames: number): Progress {
  const rng = new Rng(seed)
  let done = 0
  while (done < frames) {
    const sequence = sequenceOf(rng.u32())
    const report = attempt(node, sequence, false)
    if (report.problems.length > 0) return { frames: done, failure: explain(node, sequence, report) }
    done += report.frames
  }
  return { frames: done, failure: undefined }
}

function attempt(node: Node, sequence: Sequence, aloud: boolean): Report {
  for (let i = 0; i < ATTEMPTS; i++) {
    const report = new Run(node, sequence, aloud).run(sequence.steps)
    if (!report.late) return report
  }
  throw new Error(`no sequence of ${STEPS} frames within a second, ${ATTEMPTS} times`)
}

function failing(node: Node, sequence: Sequence): Report | undefined {
  for (let i = 0; i < REPEATS; i++) {
    const report = attempt(node, sequence, true)
    if (report.problems.length > 0) return report
  }
  return undefined
}

function explain(node: Node, sequence: Sequence, first: Report): string {
  const short = shrink(node, sequence)
  const report = failing(node, short) ?? first
  return [...report.problems, '', 'after:', ...report.story].join('\n')
}

/** Leaves out steps, then mutations, while it still fails. */
function shrink(node: Node, sequence: Sequence): Sequence {
  let best = sequence
  let runs = 0
  const tryOut = (candidate: Sequence): boolean => {
    if (runs++ > SHRINK_RUNS || failing(node, candidate) === undefined) return false
    best = candidate
    return true
  }
  for (let size = STEPS >> 1; size >= 1; size >>= 1) {
    for (let at = 0; at < best.steps.length;) {
      const steps = [...best.steps.slice(0, at), ...best.steps.slice(at + size)]
      if (!tryOut({ ...best, steps })) at += size
    }
  }
  best.steps.forEach((_step, at) => {
    for (let mutation = 0; mutation < 4; mutation++) {
      const leave = (step: Step): Step => ({ ...step, without: [...step.without, mutation] })
      tryOut({ ...best, steps: best.steps.map((step, i) => (i === at ? leave(step) : step)) })
    }
  })
  return best
}
