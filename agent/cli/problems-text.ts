import type { Problem } from '../types/problem.ts'

/** A block with one complaint and what to do about it per entry; empty when there is nothing to say. */
export function renderProblems(problems: readonly Problem[]): string {
  if (problems.length === 0) return ''
  const entries = problems.map((problem) => `  ${problem.code}: ${problem.message}\n    hint: ${problem.hint}\n`)
  return `Problems:   ${problems.length}\n${entries.join('')}`
}
