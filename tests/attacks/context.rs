//! C. The context, COPY and ADD (attacks 48 to 59).
