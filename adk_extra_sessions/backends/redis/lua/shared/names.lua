-- A name that nothing has in an index, since names are percent-encoded there.
local NOBODY = '%'

-- The session's name in the index of the user's sessions: the end of its key, which is otherwise as long.
local function name_of(session, index)
  return string.sub(session, #index + 2)
end
