import { BpfObject } from '../../native/index.ts'
import { objectPath } from './world.ts'

/** Load an object as it is, with nothing pinned, and let go of it. The names of its programs, of which some can be left out. */
export function loadObject(name: string, skipPrograms: readonly string[] = []): string[] {
  const object = BpfObject.open(objectPath(name), { skipPrograms })
  try {
    object.load()
    for (const map of object.mapNames) object.map(map).close()
    for (const program of object.programNames) if (!skipPrograms.includes(program)) object.program(program).close()
    return object.programNames
  } finally {
    object.close()
  }
}
