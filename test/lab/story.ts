import { describeError, hintOf } from '../../agent/lib/errors.ts'
import { Lab } from './cli.ts'
import { LabError } from './errors.ts'
import { describeShape, nameFlag, readShape } from './shape.ts'
import { DEFAULT_SHAPE } from './topology.ts'
import { tellPoint, titles } from './story/points.ts'
import { reset } from './story/webpod.ts'
import { Story } from './story/story.ts'

/**
 * Tells the story of the running lab on the terminal: `node build/js/test/lab/story.js [POINT…]`, all points by default.
 * Exit status 1 when a point does not hold; the points after it are told all the same.
 */
const story = new Story(new Lab(process.env['WEFT_LAB']), (text) => void process.stdout.write(text))
const wanted = process.argv.length > 2 ? process.argv.slice(2).map(Number) : titles.map((_, index) => index + 1)

story.say(
  'The story, told from this checkout. Every line after a $ can be repeated:\n\n$ export PATH=$PWD/test/lab:$PATH',
)
await story.lab.run(['status'])
const shape = readShape(story.lab.paths) ?? DEFAULT_SHAPE
if (shape.clusters !== DEFAULT_SHAPE.clusters) {
  throw new LabError('other-shape', `the story is one of two clusters, and this lab has ${describeShape(shape)}`, {
    hint: `test/lab/lab${nameFlag(story.lab.paths)} down, then up`,
  })
}
const failed: string[] = []
for (const number of wanted) {
  try {
    const violations = await tellPoint(story, number)
    story.say(violations.length === 0 ? '✓ holds' : violations.map((text) => `✗ ${text}`).join('\n'))
    if (violations.length > 0) failed.push(String(number))
  } catch (error) {
    const hint = hintOf(error)
    story.say(`✗ ${describeError(error)}${hint === undefined ? '' : `\n  ${hint}`}`)
    failed.push(String(number))
  }
}
await reset(story)
const told = `${String(wanted.length - failed.length)} of ${String(wanted.length)} points hold`
story.say(failed.length === 0 ? `\n${told}` : `\n${told}; not: ${failed.join(', ')}`)
process.exitCode = failed.length === 0 ? 0 : 1
