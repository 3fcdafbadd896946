//! D. RUN and its mounts (attacks 60 to 84).
